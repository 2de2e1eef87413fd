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

variable "domain" {
  type = object({
    name            = string
    certificate_arn = string # in ACM, in the API's region
  })
  default     = null
  description = "A custom domain name; null for none."

  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z]{2,}$", var.domain.name))
    error_message = "domain.name must be a host name in lower case, as in models.example.com."
  }

  validation {
    condition     = var.domain == null || try(split(":", var.domain.certificate_arn)[3] == data.aws_service.s3.region, false)
    error_message = "domain.certificate_arn must be a certificate in ACM in ${data.aws_service.s3.region}, the API's region: a regional domain accepts no other."
  }
}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}
