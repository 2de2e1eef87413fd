variable "models" {
  type = map(object({
    function_name     = string
    alias_invoke_arns = map(string)
    default_alias     = string # answers paths without a version
  }))
  nullable    = false
  description = "The models that the API serves, by name."

  validation {
    condition     = alltrue([for model in values(var.models) : contains(keys(model.alias_invoke_arns), model.default_alias)])
    error_message = "default_alias must be one of the model's aliases: ${join(", ", [for name, model in var.models : "${name} has no alias ${model.default_alias}" if !contains(keys(model.alias_invoke_arns), model.default_alias)])}."
  }
}

variable "catalog" {
  type = object({
    function_name = string
    invoke_arn    = string
  })
  default     = null
  description = "The function that answers paths of no single model; null for none."
}

variable "throttle" {
  type = object({
    requests_per_second = optional(number, 100)
    burst               = optional(number, 200)
  })
  default     = {}
  nullable    = false
  description = "How many requests each route accepts before the API answers 429."

  validation {
    condition     = var.throttle.requests_per_second > 0 && var.throttle.burst > 0
    error_message = "throttle.requests_per_second and throttle.burst must be above 0: with 0, the API refuses every request."
  }
}
