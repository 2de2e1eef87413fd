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
    default_alias     = string # answers paths without a version
  }))
  nullable    = false
  description = "The models that the API serves, by name: function, invoke ARN of each alias, and default alias."
}

variable "catalog" {
  type = object({
    function_name = string
    invoke_arn    = string
  })
  default     = null
  description = "The function that answers `/`, `/v2`, `/v2/health/live`, `/v2/health/ready` and `/v2/repository/index`; null for none."
}

variable "functions" {
  type        = any
  default     = null
  description = "What the permissions wait for, if `models` and `catalog` have names instead of references: modules or resources of the functions and their aliases."
}

variable "authorization" {
  type        = string
  default     = "AWS_IAM"
  nullable    = false
  description = "Who may call: `AWS_IAM` (signed requests) or `NONE` (everyone, or with `usage_plans` everyone with a key)."

  validation {
    condition     = contains(["AWS_IAM", "NONE"], var.authorization)
    error_message = "authorization must be AWS_IAM or NONE. For tokens use an HTTP API, for keys usage_plans."
  }
}

variable "usage_plans" {
  type = map(object({
    requests_per_second = number # for each key, over all routes
    burst               = number
    quota = optional(object({
      requests = number
      period   = string # DAY, WEEK or MONTH
    }))
    api_keys = optional(set(string), []) # names; AWS generates the values
  }))
  default     = {}
  nullable    = false
  description = "Usage plans and their API keys, by name. With one or more plans, every request needs a key."

  validation {
    condition     = alltrue([for plan in values(var.usage_plans) : plan.requests_per_second > 0 && plan.burst > 0])
    error_message = "requests_per_second and burst of a usage plan must be above 0, because 0 refuses every request: ${join(", ", [for name, plan in var.usage_plans : name if plan.requests_per_second <= 0 || plan.burst <= 0])}."
  }

  validation {
    condition = alltrue([
      for plan in values(var.usage_plans) : plan.quota == null || try(plan.quota.requests > 0 && contains(["DAY", "WEEK", "MONTH"], plan.quota.period), false)
    ])
    error_message = "A quota has requests above 0 and a period of DAY, WEEK or MONTH. Change that of ${join(", ", [for name, plan in var.usage_plans : name if plan.quota != null && !try(plan.quota.requests > 0 && contains(["DAY", "WEEK", "MONTH"], plan.quota.period), false)])}."
  }

  validation {
    condition     = length(distinct(flatten([for plan in values(var.usage_plans) : tolist(plan.api_keys)]))) == sum(concat([0], [for plan in values(var.usage_plans) : length(plan.api_keys)]))
    error_message = "A key belongs to one usage plan, because API Gateway accepts one plan of a key for each stage: ${join(", ", distinct(flatten([for name, plan in var.usage_plans : [for key in plan.api_keys : key if anytrue([for other, its in var.usage_plans : other != name && contains(its.api_keys, key)])]])))}."
  }
}

variable "throttle" {
  type = object({
    requests_per_second = optional(number, 100)
    burst               = optional(number, 200)
  })
  default     = {}
  nullable    = false
  description = "How many requests each route accepts before the API answers 429."
}

variable "timeout_seconds" {
  type        = number
  default     = 29
  nullable    = false
  description = "How long the API waits for a function, 1 to 300. More than 29 needs a higher quota of the account."

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 300
    error_message = "timeout_seconds must be 1 to 300: API Gateway waits no longer with any quota."
  }
}

variable "stage" {
  type        = string
  default     = "live"
  nullable    = false
  description = "Name of the stage, the last part of the API's own URL."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,128}$", var.stage))
    error_message = "stage must be 1 to 128 letters, digits, hyphens or underscores."
  }
}

variable "domain" {
  type = object({
    name            = string
    certificate_arn = string # in ACM, in the API's region
  })
  default     = null
  description = "A custom domain name of the API; null for none. Create its DNS record yourself, see the output `domain_target`."
}

variable "waf" {
  type = object({
    web_acl_arn = string # in WAFv2, regional
  })
  default     = null
  description = "The WAF web ACL that filters requests; null for none."

  validation {
    condition     = var.waf == null || try(can(regex(":regional/webacl/", var.waf.web_acl_arn)), false)
    error_message = "waf.web_acl_arn must be the ARN of a regional web ACL (...:regional/webacl/...): API Gateway accepts no global web ACL, which is for CloudFront."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "How many days the access log is kept; null for no log; one of the periods that CloudWatch offers."
}

variable "detailed_metrics" {
  type        = bool
  default     = false
  nullable    = false
  description = "Metrics of each route besides those of the API; CloudWatch bills each of them."
}

variable "logs_key_arn" {
  type        = string
  default     = null
  description = "Key that encrypts the access log; null encrypts with CloudWatch's own. The key's policy must admit CloudWatch Logs."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of everything that this module creates."
}

variable "tracing" {
  type        = string
  default     = "PassThrough"
  nullable    = false
  description = "Whether X-Ray traces requests: `Active` or `PassThrough`."
}
