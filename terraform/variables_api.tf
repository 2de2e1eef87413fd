# The APIs in front of the functions.

variable "api" {
  type        = any
  default     = null
  description = "An HTTP API in front of the functions, `{}` for one with IAM authorization; null for none."

  validation {
    condition = length(setsubtract(flatten([
      try(keys(var.api), []),
      [for part in ["jwt", "cors", "throttle", "domain"] : [for name in try(keys(var.api[part]), []) : "${part}.${name}"]],
    ]), local.attributes.api)) == 0
    error_message = "${join(" ", [
      for name in setsubtract(flatten([
        try(keys(var.api), []),
        [for part in ["jwt", "cors", "throttle", "domain"] : [for name in try(keys(var.api[part]), []) : "${part}.${name}"]],
      ]), local.attributes.api) :
      "api has no attribute ${name}."
    ])} The attributes are ${join(", ", local.attributes.api)}."
  }

  validation {
    condition     = can(tobool(try(var.api.detailed_metrics, null)))
    error_message = "api.detailed_metrics must be true or false."
  }
}

variable "rest_api" {
  type        = any
  default     = null
  description = "A REST API in front of the functions, for API keys, usage plans and WAF, beside the HTTP API or instead of it; null for none."

  validation {
    condition = length(setsubtract(flatten([
      try(keys(var.rest_api), []),
      [for part in ["throttle", "domain", "waf"] : [for name in try(keys(var.rest_api[part]), []) : "${part}.${name}"]],
      [for plan in try(values(var.rest_api.usage_plans), []) : concat(
        [for name in try(keys(plan), []) : "usage_plans.*.${name}"],
        [for name in try(keys(plan.quota), []) : "usage_plans.*.quota.${name}"],
      )],
    ]), local.attributes.rest_api)) == 0
    error_message = "${join(" ", [
      for name in setsubtract(flatten([
        try(keys(var.rest_api), []),
        [for part in ["throttle", "domain", "waf"] : [for name in try(keys(var.rest_api[part]), []) : "${part}.${name}"]],
        [for plan in try(values(var.rest_api.usage_plans), []) : concat(
          [for name in try(keys(plan), []) : "usage_plans.*.${name}"],
          [for name in try(keys(plan.quota), []) : "usage_plans.*.quota.${name}"],
        )],
      ]), local.attributes.rest_api) :
      "rest_api has no attribute ${name}."
    ])} The attributes are ${join(", ", local.attributes.rest_api)}."
  }

  validation {
    condition     = try(var.rest_api.authorization, null) != "NONE" || try(var.rest_api.usage_plans, null) != null
    error_message = "rest_api.authorization is NONE without usage_plans. Give usage_plans whose keys callers need, or usage_plans = {} for an API that is open to everyone."
  }

  validation {
    condition     = try(var.rest_api.domain.name != var.api.domain.name, true)
    error_message = "api and rest_api have the same domain.name, but a domain belongs to one API. Give each its own."
  }

  validation {
    condition     = alltrue([for plan in try(values(var.rest_api.usage_plans), []) : can(keys(plan))])
    error_message = "A usage plan must be an object with requests_per_second and burst. Change rest_api.usage_plans.${join(", ", [for name, plan in try(merge(var.rest_api.usage_plans), {}) : name if !can(keys(plan))])}."
  }

  validation {
    condition     = can(tobool(try(var.rest_api.access_log, null)))
    error_message = "rest_api.access_log must be true or false."
  }

  validation {
    condition     = can(tobool(try(var.rest_api.detailed_metrics, null)))
    error_message = "rest_api.detailed_metrics must be true or false."
  }
}
