variable "name" {
  type        = string
  nullable    = false
  description = "Prefix of every name: functions are `<name>-<model>`, the releaser is `<name>_releaser`."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 32 lower-case letters, digits or hyphens, beginning with a letter and not ending with a hyphen: it is part of a bucket's name."
  }
}

variable "packages" {
  type = object({
    runtime = string # serves models; `shearling package` calls it runtime.zip
    control = string # the releaser and the index; control.zip
  })
  nullable    = false
  description = "Paths of the function packages that `make package` builds."
}

variable "models" {
  type = map(object({
    aliases              = map(map(number)) # by name: {} or { provisioned_concurrency = 2 }
    default_alias        = optional(string) # what the API serves without a version in the path; the only alias if there is one
    memory_mb            = optional(number, 1024)
    timeout_seconds      = optional(number, 30)
    ephemeral_storage_mb = optional(number, 512) # /tmp, which holds the bundle
    reserved_concurrency = optional(number)      # calls at once at most, set apart of the account's own limit
    snap_start           = optional(bool, false)
    allow_pickle         = optional(bool, false) # load cloudpickle bundles, which run their author's code
    file_system          = optional(object({}))  # {} mounts one, for bundles too large for /tmp; needs `network`
    environment          = optional(map(string), {})
    package              = optional(string) # a package of its own, instead of packages.runtime
    python               = optional(string) # what that package was built for, if not `python`
    architecture         = optional(string) # likewise, if not `architecture`
  }))
  nullable    = false
  description = "The models to serve, by name: a function each, invoked by alias."

  validation {
    condition     = alltrue([for model in keys(var.models) : can(regex("^[a-z0-9][a-z0-9-]{0,47}$", model))])
    error_message = "A model is named by up to 48 lower-case letters, digits and hyphens, not beginning with a hyphen: ${join(", ", [for model in keys(var.models) : model if !can(regex("^[a-z0-9][a-z0-9-]{0,47}$", model))])}."
  }

  # The longest name built on both: the releaser's event rule.
  validation {
    condition     = alltrue([for model in keys(var.models) : length("${var.name}_releaser-${model}") <= 64])
    error_message = "<name>_releaser-<model> may have 64 characters; too long: ${join(", ", [for model in keys(var.models) : "${var.name}_releaser-${model}" if length("${var.name}_releaser-${model}") > 64])}."
  }

  validation {
    condition = alltrue([
      for model in values(var.models) : model.default_alias == null || contains(keys(model.aliases), coalesce(model.default_alias, "-"))
    ])
    error_message = "default_alias must be one of the model's aliases: ${join(", ", [for name, model in var.models : "${name} has no alias ${coalesce(model.default_alias, "-")}" if !contains(keys(model.aliases), coalesce(model.default_alias, "-")) && model.default_alias != null])}."
  }

  validation {
    condition = (var.api == null && var.rest_api == null) || alltrue([
      for model in values(var.models) : model.default_alias != null || length(model.aliases) == 1
    ])
    error_message = "A model with several aliases needs default_alias: the one that answers API paths without a version (${join(", ", [for name, model in var.models : name if model.default_alias == null && length(model.aliases) != 1])})."
  }
}

variable "registry" {
  type = object({
    bucket              = optional(string)           # one that exists, known at plan; null creates <name>-<account>-<region>
    prefix              = optional(string, "")       # where in the bucket, without slashes at the ends
    kms_key_arn         = optional(string)           # key of the bucket; null is S3's own
    former_kms_key_arns = optional(list(string), []) # keys before it: what was written under them is read with them still
    force_destroy       = optional(bool, false)      # let models be deleted, and the bucket with models in it
  })
  default     = {}
  nullable    = false
  description = "Where models are kept. A bucket that exists keeps its settings; have it send events to EventBridge, or aliases move at the next sweep."

  validation {
    condition     = var.registry.bucket == null || !var.registry.force_destroy
    error_message = "registry.force_destroy is for the bucket that this module creates: a bucket that exists is never deleted."
  }
}

variable "network" {
  type = object({
    vpc_id          = string
    subnet_ids      = list(string)               # of different availability zones
    route_table_ids = optional(list(string), []) # of those subnets, to reach S3 by a gateway endpoint; [] if they reach it already
  })
  default     = null
  description = "Where functions with a file system stand; others stand in no network."

  validation {
    condition     = var.network != null || alltrue([for model in values(var.models) : model.file_system == null])
    error_message = "file_system needs network, because Lambda mounts a file system only from inside a VPC: ${join(", ", [for name, model in var.models : name if model.file_system != null])}."
  }

  validation {
    condition     = var.network == null || try(length(var.network.subnet_ids) > 0, false)
    error_message = "network.subnet_ids names no subnet: the file system has a mount target in each, and functions stand there."
  }

  validation {
    condition     = var.network == null || try(length(distinct(var.network.subnet_ids)) == length(var.network.subnet_ids), false)
    error_message = "network.subnet_ids names a subnet twice: a file system has one mount target in each availability zone."
  }
}

variable "file_system" {
  type = object({
    existing = optional(object({
      access_point_arn   = string
      security_group_ids = optional(list(string), []) # of its mount targets; they are opened for the functions
    }))
    kms_key_arn      = optional(string)       # null is EFS's own
    stager_memory_mb = optional(number, 2048) # more memory is more network, too
  })
  default     = {}
  nullable    = false
  description = "The file system of all models that ask for one. It is created, unless an access point is given."
}

variable "api" {
  type = object({
    authorization = optional(string, "AWS_IAM") # or JWT, or NONE: everybody
    jwt = optional(object({
      issuer   = string
      audience = list(string)
      scopes   = optional(list(string), []) # a token needs one of them
    }))
    cors = optional(object({
      allow_origins     = list(string)
      allow_headers     = optional(list(string))
      allow_credentials = optional(bool)
      max_age_seconds   = optional(number)
    }))
    throttle = optional(object({
      requests_per_second = optional(number)
      burst               = optional(number)
    }), {})
    domain = optional(object({
      name            = string
      certificate_arn = string # of ACM, in the API's region
    }))
  })
  default     = null
  description = "An HTTP API in front of the functions, `{}` for one with IAM authorization; null for none."
}

variable "rest_api" {
  type = object({
    authorization = optional(string, "AWS_IAM") # or NONE: everybody, or with usage plans everybody who has a key
    # With one or more, every request needs a key; {} with NONE is an API that is open to everybody.
    usage_plans = optional(map(object({
      requests_per_second = number # of each key, over all routes
      burst               = number
      quota = optional(object({
        requests = number
        period   = string # DAY, WEEK or MONTH
      }))
      api_keys = optional(set(string), []) # names; AWS makes the values
    })))
    throttle = optional(object({
      requests_per_second = optional(number)
      burst               = optional(number)
    }), {})
    timeout_seconds = optional(number, 29) # more needs a higher quota of the account
    stage           = optional(string)
    domain = optional(object({
      name            = string
      certificate_arn = string # of ACM, in the API's region
    }))
    waf = optional(object({
      web_acl_arn = string # of WAFv2, regional
    }))
    access_log = optional(bool, true) # needs the account's role for logs of API Gateway
  })
  default     = null
  description = "A REST API in front of the functions, for API keys, usage plans and WAF, beside the HTTP API or instead of it; null for none."

  # Terraform drops attributes that it does not know: a misspelt `usage_plans` would open the API.
  validation {
    condition     = var.rest_api == null || try(var.rest_api.authorization != "NONE" || var.rest_api.usage_plans != null, false)
    error_message = "rest_api.authorization is NONE without usage_plans: give the plans whose keys are asked for, or usage_plans = {} for an API that is open to everybody."
  }

  validation {
    condition     = try(var.rest_api.domain.name != var.api.domain.name, true)
    error_message = "api and rest_api need a domain each: a domain name is of one API."
  }
}

variable "python" {
  type        = string
  default     = "3.13"
  nullable    = false
  description = "Python version of the Lambda runtimes; the packages must have been built for it."
}

variable "unsupported_python" {
  type        = bool
  default     = false
  nullable    = false
  description = "Accept Python 3.11, which works on an emulator only."
}

variable "architecture" {
  type        = string
  default     = "x86_64"
  nullable    = false
  description = "Processor that the packages were built for: `x86_64` or `arm64`."
}

variable "sweep_minutes" {
  type        = number
  default     = 5
  nullable    = false
  description = "How often the releaser looks at all aliases, in case an event was lost."
}

variable "log_retention_days" {
  type        = number
  default     = 30
  nullable    = false
  description = "How long logs are kept."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that is told when releases fail and when they work again."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of all roles."
}
