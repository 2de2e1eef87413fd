variable "name" {
  type        = string
  nullable    = false
  description = "Name of the API."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,100}$", var.name))
    error_message = "name must be 1 to 100 letters, digits, hyphens or underscores."
  }
}

variable "models" {
  type = map(object({
    function_name     = string
    alias_invoke_arns = map(string)
    default_alias     = string # the one that answers where the path names no version
  }))
  nullable    = false
  description = "What the API serves, by model: the function, what to integrate with by alias, and the default alias."

  validation {
    condition     = alltrue([for model in values(var.models) : contains(keys(model.alias_invoke_arns), model.default_alias)])
    error_message = "default_alias must be one of the model's aliases (${join(", ", [for name, model in var.models : "${name}: ${model.default_alias}" if !contains(keys(model.alias_invoke_arns), model.default_alias)])})."
  }
}

variable "index" {
  type = object({
    function_name = string
    invoke_arn    = string
  })
  default     = null
  description = "The function that answers what spans models (`/`, `/v2`, `/v2/health/...`, `/v2/repository/index`); null for none."
}

variable "authorization" {
  type        = string
  default     = "AWS_IAM"
  nullable    = false
  description = "Who may call: `AWS_IAM` (signed requests) or `NONE` (everybody, or with `usage_plans` everybody who has a key)."

  validation {
    condition     = contains(["AWS_IAM", "NONE"], var.authorization)
    error_message = "authorization must be AWS_IAM or NONE: tokens are checked by an HTTP API, keys by `usage_plans`."
  }
}

variable "usage_plans" {
  type = map(object({
    requests_per_second = number # of each key, over all routes
    burst               = number
    quota = optional(object({
      requests = number
      period   = string # DAY, WEEK or MONTH
    }))
    api_keys = optional(set(string), []) # names; AWS makes the values
  }))
  default     = {}
  nullable    = false
  description = "Plans that callers are on, and their keys. With one or more, every request needs a key."

  validation {
    condition     = alltrue([for plan in values(var.usage_plans) : plan.requests_per_second > 0 && plan.burst > 0])
    error_message = "A usage plan needs rates above 0, because 0 refuses every request: ${join(", ", [for name, plan in var.usage_plans : name if plan.requests_per_second <= 0 || plan.burst <= 0])}."
  }

  validation {
    condition = alltrue([
      for plan in values(var.usage_plans) : plan.quota == null || try(plan.quota.requests > 0 && contains(["DAY", "WEEK", "MONTH"], plan.quota.period), false)
    ])
    error_message = "A quota is a number of requests above 0 in a DAY, a WEEK or a MONTH: see that of ${join(", ", [for name, plan in var.usage_plans : name if plan.quota != null && !try(plan.quota.requests > 0 && contains(["DAY", "WEEK", "MONTH"], plan.quota.period), false)])}."
  }

  validation {
    condition     = length(distinct(flatten([for plan in values(var.usage_plans) : tolist(plan.api_keys)]))) == sum(concat([0], [for plan in values(var.usage_plans) : length(plan.api_keys)]))
    error_message = "A key is of one usage plan, because a stage is reached by one plan of a key: ${join(", ", distinct(flatten([for name, plan in var.usage_plans : [for key in plan.api_keys : key if anytrue([for other, its in var.usage_plans : other != name && contains(its.api_keys, key)])]])))}."
  }
}

variable "throttle" {
  type = object({
    requests_per_second = optional(number, 100)
    burst               = optional(number, 200)
  })
  default     = {}
  nullable    = false
  description = "How many requests each route accepts before it answers 429."

  validation {
    condition     = var.throttle.requests_per_second > 0 && var.throttle.burst > 0
    error_message = "throttle needs rates above 0: 0 refuses every request."
  }
}

variable "timeout_seconds" {
  type        = number
  default     = 29
  nullable    = false
  description = "How long the API waits for a function; more than 29 needs a higher quota of the account."

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 300
    error_message = "timeout_seconds must be 1 to 300, the most that API Gateway waits with any quota."
  }
}

variable "stage" {
  type        = string
  default     = "live"
  nullable    = false
  description = "Name of the stage, which the API's own URL ends with."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,128}$", var.stage))
    error_message = "stage must be 1 to 128 letters, digits, hyphens or underscores."
  }
}

variable "domain" {
  type = object({
    name            = string
    certificate_arn = string # of ACM, in the API's region
  })
  default     = null
  description = "A domain name of yours that the API answers at, too; null for none. DNS is yours: see the output `domain_target`."

  validation {
    condition     = var.domain == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z]{2,}$", var.domain.name))
    error_message = "domain.name must be a host's name in lower case, as in models.example.com."
  }

  validation {
    condition     = var.domain == null || try(split(":", var.domain.certificate_arn)[3] == data.aws_service.s3.region, false)
    error_message = "domain.certificate_arn must be of ACM in ${data.aws_service.s3.region}, the API's region: a regional domain takes no other."
  }
}

variable "waf" {
  type = object({
    web_acl_arn = string # of WAFv2, regional
  })
  default     = null
  description = "The web ACL that filters requests; null for none."

  validation {
    condition     = var.waf == null || try(can(regex(":regional/webacl/", var.waf.web_acl_arn)), false)
    error_message = "waf.web_acl_arn must be the ARN of a regional web ACL (...:regional/webacl/...): those of CloudFront, called global, are not for an API."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "How long the access log is kept; null for no log."

  validation {
    condition = var.log_retention_days == null || contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      coalesce(var.log_retention_days, 1),
    )
    error_message = "log_retention_days must be a period that CloudWatch offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}
