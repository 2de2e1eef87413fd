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
  description = "Who may call: `AWS_IAM` (signed requests), `JWT` (tokens, see `jwt`) or `NONE` (everyone)."

  validation {
    condition     = contains(["AWS_IAM", "JWT", "NONE"], var.authorization)
    error_message = "authorization must be AWS_IAM, JWT or NONE."
  }
}

variable "jwt" {
  type = object({
    issuer   = string
    audience = list(string)
    scopes   = optional(list(string), []) # a token needs one of these
  })
  default     = null
  description = "Which tokens are accepted; needs `authorization = \"JWT\"`."

  validation {
    condition     = (var.jwt != null) == (var.authorization == "JWT")
    error_message = "jwt and authorization = \"JWT\" need each other: jwt says which tokens are accepted, and authorization that they are checked."
  }

  validation {
    condition     = var.jwt == null || can(regex("^https://[^/]+", var.jwt.issuer))
    error_message = "jwt.issuer must be an https:// URL: API Gateway fetches the issuer's keys from it."
  }

  validation {
    condition     = var.jwt == null || try(length(var.jwt.audience) > 0, false)
    error_message = "jwt.audience must have at least one audience: otherwise the API accepts tokens for other services."
  }
}

variable "cors" {
  type = object({
    allow_origins     = list(string)
    allow_headers     = optional(list(string), ["authorization", "content-type", "idempotency-key", "inference-header-content-length", "prefer", "x-amz-date", "x-amz-security-token"])
    allow_credentials = optional(bool, false)
    max_age_seconds   = optional(number, 300)
  })
  default     = null
  description = "Which web pages may call the API from a browser (CORS); null for none."

  validation {
    condition     = var.cors == null || try(!(var.cors.allow_credentials && contains(var.cors.allow_origins, "*")), false)
    error_message = "cors.allow_credentials excludes the origin \"*\": browsers refuse both together."
  }

  validation {
    condition     = var.cors == null || try(length(var.cors.allow_origins) > 0 && alltrue([for origin in var.cors.allow_origins : origin == "*" || can(regex("^[a-z][a-z0-9+.-]*://[^/]+$", origin))]), false)
    error_message = "cors.allow_origins must be origins, as in https://app.example.com, or \"*\": a scheme and a host, without a path."
  }

  validation {
    condition     = var.cors == null || try(var.cors.max_age_seconds >= 0 && var.cors.max_age_seconds <= 86400, false)
    error_message = "cors.max_age_seconds must be 0 to 86400 (a day): API Gateway accepts no more."
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

variable "domain" {
  type = object({
    name            = string
    certificate_arn = string # in ACM, in the API's region
  })
  default     = null
  description = "A custom domain name of the API; null for none. Create its DNS record yourself, see the output `domain_target`."
}

variable "log_retention_days" {
  type        = number
  default     = 30
  nullable    = false
  description = "How many days the access log is kept; one of the periods that CloudWatch offers."
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
