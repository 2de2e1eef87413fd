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
  description = "Who may call: `AWS_IAM` (signed requests), `JWT` (tokens, see `jwt`) or `NONE` (everybody)."

  validation {
    condition     = contains(["AWS_IAM", "JWT", "NONE"], var.authorization)
    error_message = "authorization must be AWS_IAM, JWT or NONE."
  }
}

variable "jwt" {
  type = object({
    issuer   = string
    audience = list(string)
    scopes   = optional(list(string), []) # a token needs one of them
  })
  default     = null
  description = "Which tokens are accepted; needs `authorization = \"JWT\"`."

  validation {
    condition     = (var.jwt != null) == (var.authorization == "JWT")
    error_message = "jwt and authorization = \"JWT\" need each other: without the one nothing says which tokens to accept, without the other nothing looks at them."
  }

  validation {
    condition     = var.jwt == null || can(regex("^https://[^/]+", var.jwt.issuer))
    error_message = "jwt.issuer must be an https:// URL: API Gateway fetches the keys of the issuer from there."
  }

  validation {
    condition     = var.jwt == null || try(length(var.jwt.audience) > 0, false)
    error_message = "jwt.audience must name at least one audience: otherwise tokens made for other services are accepted."
  }
}

variable "cors" {
  type = object({
    allow_origins     = list(string)
    allow_headers     = optional(list(string), ["authorization", "content-type", "inference-header-content-length", "x-amz-date", "x-amz-security-token"])
    allow_credentials = optional(bool, false)
    max_age_seconds   = optional(number, 300)
  })
  default     = null
  description = "Which web pages may call the API from a browser; null for none."

  validation {
    condition     = var.cors == null || try(!(var.cors.allow_credentials && contains(var.cors.allow_origins, "*")), false)
    error_message = "cors.allow_credentials excludes the origin \"*\": browsers refuse the two together."
  }

  validation {
    condition     = var.cors == null || try(length(var.cors.allow_origins) > 0 && alltrue([for origin in var.cors.allow_origins : origin == "*" || can(regex("^[a-z][a-z0-9+.-]*://[^/]+$", origin))]), false)
    error_message = "cors.allow_origins must be origins, as in https://app.example.com, or \"*\": a scheme and a host, without a path."
  }

  validation {
    condition     = var.cors == null || try(var.cors.max_age_seconds >= 0 && var.cors.max_age_seconds <= 86400, false)
    error_message = "cors.max_age_seconds must be at most 86400, a day: API Gateway takes no more."
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

variable "log_retention_days" {
  type        = number
  default     = 30
  nullable    = false
  description = "How long the access log is kept."

  validation {
    condition = contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      var.log_retention_days,
    )
    error_message = "log_retention_days must be a period that CloudWatch offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}
