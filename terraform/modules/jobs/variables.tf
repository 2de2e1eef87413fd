variable "models" {
  type = map(object({
    function_name        = string
    aliases              = list(string)
    timeout_seconds      = number
    reserved_concurrency = optional(number)
    keep_days            = number
    max_concurrency      = number
    topic_arn            = optional(string)
  }))
  nullable    = false
  description = "The models that have jobs, by name."

  validation {
    condition     = alltrue([for each in values(var.models) : alltrue([for alias in concat(["done"], each.aliases) : length("${each.function_name}_jobs_${alias}") <= 64])])
    error_message = "<name>-<model>_jobs_<alias> names the rule of an alias's jobs and has at most 64 characters. Change ${join(", ", [for model, each in var.models : "${each.function_name}_jobs_..." if !(alltrue([for alias in concat(["done"], each.aliases) : length("${each.function_name}_jobs_${alias}") <= 64]))])}."
  }

  validation {
    condition     = alltrue([for each in values(var.models) : each.keep_days >= 1 && each.keep_days <= 3650 && floor(each.keep_days) == each.keep_days])
    error_message = "jobs.keep_days must be a whole number of days from 1 to 3650. Change ${join(", ", [for model, each in var.models : "${model} (${each.keep_days})" if !(each.keep_days >= 1 && each.keep_days <= 3650 && floor(each.keep_days) == each.keep_days)])}."
  }

  validation {
    condition     = alltrue([for each in values(var.models) : each.max_concurrency >= 2 && each.max_concurrency <= 1000 && floor(each.max_concurrency) == each.max_concurrency])
    error_message = "jobs.max_concurrency must be a whole number from 2 to 1000, the limits of Lambda. Change ${join(", ", [for model, each in var.models : "${model} (${each.max_concurrency})" if !(each.max_concurrency >= 2 && each.max_concurrency <= 1000 && floor(each.max_concurrency) == each.max_concurrency)])}."
  }

  validation {
    condition     = alltrue([for each in values(var.models) : each.reserved_concurrency == null ? true : each.max_concurrency <= each.reserved_concurrency])
    error_message = "jobs.max_concurrency must not exceed reserved_concurrency: Lambda would throttle the rest, and give jobs up after some attempts. Change ${join(", ", [for model, each in var.models : model if !(each.reserved_concurrency == null ? true : each.max_concurrency <= each.reserved_concurrency)])}."
  }
}

variable "alias_arns" {
  type        = map(string)
  nullable    = false
  description = "ARN of each alias of the models, by `model:alias`."
}

variable "queue_key_arn" {
  type        = string
  default     = null
  description = "Key of the queues; null uses SQS's own. Its policy must admit EventBridge."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that alarms notify."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of everything that can have tags."
}
