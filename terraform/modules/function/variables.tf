variable "name" {
  type        = string
  nullable    = false
  description = "Name of the function."
}

variable "registry" {
  type = object({
    uri          = string
    region       = optional(string) # of the bucket, if it is another than the function's
    bucket_arn   = string
    root         = string
    kms_key_arns = list(string)
  })
  nullable    = false
  description = "The registry that the function loads its bundle from: output `registry` of the registry module."
}

variable "package" {
  type = object({
    bucket           = string
    key              = string
    source_code_hash = string
  })
  default     = null
  description = "The function's code: a zip in a bucket of this region, and its base64 SHA-256. The registry module's output `packages` has these."
}

variable "image_uri" {
  type        = string
  default     = null
  description = "The function's code as a container image, instead of `package`: what `shearling package image --push` prints."

  validation {
    condition     = var.image_uri == null || var.options.code_signing_config_arn == null
    error_message = "image_uri of ${var.name} excludes options.code_signing_config_arn: Lambda checks signatures of zips only."
  }
}

variable "aliases" {
  type        = any # map(object({ provisioned_concurrency = optional(number) }))
  nullable    = false
  description = "The aliases that callers invoke, by name: `{ prod = { provisioned_concurrency = 2 }, staging = {} }`."

  validation {
    condition     = length(var.aliases) > 0
    error_message = "${var.name} needs at least one alias, because callers invoke a function only by alias."
  }

  validation {
    condition     = alltrue([for alias in keys(var.aliases) : can(regex("^[a-z][a-z0-9-]{0,47}$", alias))])
    error_message = "The name of an alias is a lower-case letter followed by up to 47 lower-case letters, digits or hyphens. ${var.name} has ${join(", ", [for alias in keys(var.aliases) : alias if !can(regex("^[a-z][a-z0-9-]{0,47}$", alias))])}."
  }

  # A ref without an alias means `latest`. The other two are folders of the registry: an IAM pattern cannot tell them from
  # such an alias, and whoever may push could then promote.
  validation {
    condition     = length(setintersection(keys(var.aliases), ["latest", "versions", "digests"])) == 0
    error_message = "latest, versions and digests are reserved and cannot name an alias (${var.name})."
  }

  # `any`, because Terraform drops an attribute that an object type does not have without a word.
  validation {
    condition = alltrue([
      for attributes in values(var.aliases) : length(setsubtract(keys(attributes), ["provisioned_concurrency"])) == 0
    ])
    error_message = "The only attribute of an alias is provisioned_concurrency. ${var.name} has ${join(", ", setsubtract(flatten([for attributes in values(var.aliases) : keys(attributes)]), ["provisioned_concurrency"]))}."
  }

  validation {
    condition = alltrue([
      for attributes in values(var.aliases) : try(attributes.provisioned_concurrency, null) == null || try(
        attributes.provisioned_concurrency >= 1 && floor(attributes.provisioned_concurrency) == attributes.provisioned_concurrency, false
      )
    ])
    error_message = "provisioned_concurrency of ${var.name}'s aliases must be a whole number of at least 1. Leave it out for none."
  }
}

variable "python" {
  type        = string
  default     = "3.13"
  nullable    = false
  description = "Python version of the Lambda runtime, `3.12` to `3.14`; the package must have been built for it."
}

variable "architecture" {
  type        = string
  default     = "x86_64"
  nullable    = false
  description = "Processor that the package was built for: `x86_64` or `arm64`."
}

variable "memory_mb" {
  type        = number
  default     = 1024
  nullable    = false
  description = "Memory of the function, 128 to 10,240. Lambda gives processor time in proportion, one processor at 1,769 MB."
}

variable "timeout_seconds" {
  type        = number
  default     = 30
  nullable    = false
  description = "How long one invocation may take, 1 to 900. An HTTP API waits at most 30 seconds."
}

variable "ephemeral_storage_mb" {
  type        = number
  default     = 512
  nullable    = false
  description = "Size of `/tmp`, which holds the bundle, 512 to 10,240."
}

variable "reserved_concurrency" {
  type        = number
  default     = null
  description = "How many invocations of all aliases run at the same time at most, reserved from the account's limit; null reserves none. Lambda answers further invocations with 429."

  validation {
    condition     = var.reserved_concurrency == null || try(var.reserved_concurrency >= 1 && floor(var.reserved_concurrency) == var.reserved_concurrency, false)
    error_message = "reserved_concurrency of ${var.name} must be a whole number of at least 1: with 0, no release could check its model."
  }

  validation {
    condition = var.reserved_concurrency == null || try(
      sum(concat([0], values(local.provisioned_concurrency))) < var.reserved_concurrency, false
    )
    error_message = "reserved_concurrency of ${var.name} must exceed the sum of its aliases' provisioned_concurrency: a release checks a new version with the rest."
  }
}

variable "snap_start" {
  type        = bool
  default     = false
  nullable    = false
  description = "Start from a snapshot that Lambda takes after the model was loaded."

  validation {
    condition     = !var.snap_start || length(local.provisioned_concurrency) == 0
    error_message = "snap_start of ${var.name} excludes provisioned_concurrency: Lambda offers one or the other."
  }

  validation {
    condition     = !var.snap_start || var.image_uri == null
    error_message = "snap_start of ${var.name} excludes image_uri: Lambda takes no snapshot of a function from a container image."
  }

  validation {
    condition     = !var.snap_start || var.ephemeral_storage_mb == 512
    error_message = "snap_start of ${var.name} needs ephemeral_storage_mb = 512: Lambda takes no snapshot of a larger /tmp."
  }

  validation {
    condition     = !var.snap_start || var.file_system == null
    error_message = "snap_start of ${var.name} excludes file_system: Lambda takes no snapshot of a function with a mounted file system."
  }
}

variable "vpc" {
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default     = null
  description = "Subnets and security groups of the function; null runs it outside of a VPC."
}

variable "file_system" {
  type = object({
    access_point_arn = string
    mount_path       = optional(string, "/mnt/models")
  })
  default     = null
  description = "Read bundles from a mounted file system, for bundles too large for `/tmp`; needs `vpc`."
}

variable "allow_pickle" {
  type        = bool
  default     = false
  nullable    = false
  description = "Load bundles of the format cloudpickle, which run the code that their author put into them."
}

variable "endpoint_name" {
  type        = string
  default     = null
  description = "SageMaker endpoint of this account and region that serves the model; null serves it in the function. The bundle then has the contract and the example."

  validation {
    condition     = var.endpoint_name == null || can(regex("^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$", var.endpoint_name))
    error_message = "endpoint_name of ${var.name} must be the name of a SageMaker endpoint, up to 63 letters, digits and hyphens, and no ARN or URL."
  }

  validation {
    condition     = var.endpoint_name == null || (!var.allow_pickle && !var.snap_start && var.file_system == null)
    error_message = "endpoint_name of ${var.name} excludes allow_pickle, snap_start and file_system, because the function loads no model."
  }
}

variable "has_endpoints" {
  type        = bool
  default     = false
  nullable    = false
  description = "Whether the releaser makes SageMaker endpoints that serve the model. The function may then call those named after it."
}

variable "endpoint_calls_uri" {
  type        = string
  default     = null
  description = "Where calls of asynchronous endpoints are, which the releaser makes; null for endpoints that answer at once."
}

variable "environment" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Further environment variables of the function."

  validation {
    condition     = alltrue([for key in keys(var.environment) : !can(regex("^(SHEARLING|AWS|LAMBDA)_", key))])
    error_message = "environment of ${var.name} may not set SHEARLING_*, AWS_* or LAMBDA_*: this module sets the first, Lambda the others."
  }

  validation {
    condition     = alltrue([for key in keys(var.environment) : can(regex("^[A-Za-z][A-Za-z0-9_]+$", key))])
    error_message = "environment of ${var.name} has names that Lambda refuses: ${join(", ", [for key in keys(var.environment) : key if !can(regex("^[A-Za-z][A-Za-z0-9_]+$", key))])}. A name is a letter followed by one or more letters, digits or underscores."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 30
  nullable    = false
  description = "How many days logs are kept; one of the periods that CloudWatch offers."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of the function's role."
}

variable "role" {
  type        = object({ arn = string })
  default     = null
  description = "A role to use instead of creating one. It needs the policies in the output `role_policies`."
}

variable "policy_statements" {
  type        = any # a list of objects, which need not have the same attributes
  default     = []
  nullable    = false
  description = "Further statements of the role's policy: what its events and its jobs need."
}

variable "jobs" {
  type = object({
    bucket    = string
    keep_days = number
  })
  default     = null
  description = "The bucket of the model's asynchronous jobs: output `bucket` of the jobs module; null for none."
}

variable "options" {
  type = object({
    tags                    = optional(map(string), {})
    role_name_prefix        = optional(string, "")
    logs_key_arn            = optional(string)
    environment_key_arn     = optional(string)
    log_level               = optional(string) # DEBUG, INFO or WARN
    tracing                 = optional(string, "PassThrough")
    code_signing_config_arn = optional(string)
  })
  default     = {}
  nullable    = false
  description = "What the functions of a stack have in common."
}
