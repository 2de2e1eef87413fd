variable "name" {
  type        = string
  nullable    = false
  description = "Name of the function."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits, hyphens or underscores."
  }
}

variable "registry" {
  type = object({
    bucket              = string
    prefix              = optional(string, "")
    kms_key_arn         = optional(string)
    former_kms_key_arns = optional(list(string), []) # of what was written under other keys
  })
  nullable    = false
  description = "The registry that the function loads its bundle from, and the key its bucket is encrypted with."
}

variable "package" {
  type = object({
    bucket           = string
    key              = string
    source_code_hash = string
  })
  nullable    = false
  description = "The function's code: a zip in a bucket of this region, and its base64 SHA-256. The registry module's `packages` gives these."
}

variable "aliases" {
  type        = map(map(number))
  nullable    = false
  description = "The aliases that callers invoke, each with its attributes: `{ prod = { provisioned_concurrency = 2 }, staging = {} }`."

  validation {
    condition     = length(var.aliases) > 0
    error_message = "${var.name} needs at least one alias: a function is only ever invoked by alias."
  }

  validation {
    condition     = alltrue([for alias in keys(var.aliases) : can(regex("^[a-z][a-z0-9-]{0,47}$", alias))])
    error_message = "An alias is a lower-case letter followed by up to 47 lower-case letters, digits or hyphens (${var.name}: ${join(", ", keys(var.aliases))})."
  }

  # `latest` is what a ref without an alias means. The other two are folders of the registry: in an IAM pattern such
  # an alias could not be told from them, and who may push could promote.
  validation {
    condition     = length(setintersection(keys(var.aliases), ["latest", "versions", "digests"])) == 0
    error_message = "latest, versions and digests are reserved: no alias may be called so (${var.name})."
  }

  # A map and not an object, because Terraform drops an attribute that an object does not know without a word.
  validation {
    condition = alltrue([
      for attributes in values(var.aliases) : length(setsubtract(keys(attributes), ["provisioned_concurrency"])) == 0
    ])
    error_message = "The only attribute of an alias is provisioned_concurrency (${var.name}: ${join(", ", distinct(flatten([for attributes in values(var.aliases) : keys(attributes)])))})."
  }

  validation {
    condition = alltrue([
      for attributes in values(var.aliases) : alltrue([for count in values(attributes) : count >= 1 && floor(count) == count])
    ])
    error_message = "provisioned_concurrency must be a whole number of at least 1; leave it out for none (${var.name})."
  }
}

variable "python" {
  type        = string
  default     = "3.13"
  nullable    = false
  description = "Python version of the Lambda runtime; the package must have been built for it."

  validation {
    condition     = contains(["3.12", "3.13", "3.14"], var.python) || (var.unsupported_python && var.python == "3.11")
    error_message = "python must be 3.12, 3.13 or 3.14: Lambda's 3.11 is Amazon Linux 2, where current numpy and onnxruntime wheels do not run."
  }
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
  description = "Processor that the package was built for: `x86_64` or `arm64`."

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "memory_mb" {
  type        = number
  default     = 1024
  nullable    = false
  description = "Memory of the function; processors come with it, one at 1,769 MB."

  validation {
    condition     = var.memory_mb >= 128 && var.memory_mb <= 10240 && floor(var.memory_mb) == var.memory_mb
    error_message = "memory_mb of ${var.name} must be a whole number from 128 to 10240."
  }
}

variable "timeout_seconds" {
  type        = number
  default     = 30
  nullable    = false
  description = "How long one invocation may take; an HTTP API waits 30 seconds at most."

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 900 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds of ${var.name} must be a whole number from 1 to 900."
  }
}

variable "ephemeral_storage_mb" {
  type        = number
  default     = 512
  nullable    = false
  description = "Size of `/tmp`, which holds the bundle."

  validation {
    condition = (
      var.ephemeral_storage_mb >= 512 && var.ephemeral_storage_mb <= 10240
      && floor(var.ephemeral_storage_mb) == var.ephemeral_storage_mb
    )
    error_message = "ephemeral_storage_mb of ${var.name} must be a whole number from 512 to 10240."
  }
}

variable "reserved_concurrency" {
  type        = number
  default     = null
  description = "How many calls run at once at most, by all aliases, set apart of the account's own limit; null sets nothing apart. Lambda answers others 429."

  validation {
    condition     = var.reserved_concurrency == null || try(var.reserved_concurrency >= 1 && floor(var.reserved_concurrency) == var.reserved_concurrency, false)
    error_message = "reserved_concurrency of ${var.name} must be a whole number of at least 1: with none no release could try its model."
  }

  validation {
    condition = var.reserved_concurrency == null || try(
      sum(concat([0], flatten([for attributes in values(var.aliases) : values(attributes)]))) < var.reserved_concurrency, false
    )
    error_message = "provisioned_concurrency of ${var.name}'s aliases must be less in all than its reserved_concurrency: what is left of it is all that a release can try a new version with."
  }
}

variable "snap_start" {
  type        = bool
  default     = false
  nullable    = false
  description = "Start from a snapshot that was taken with the model loaded."

  validation {
    condition     = !var.snap_start || alltrue([for attributes in values(var.aliases) : length(attributes) == 0])
    error_message = "snap_start of ${var.name} excludes provisioned_concurrency: Lambda offers one or the other."
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

variable "network" {
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default     = null
  description = "Put the function into a VPC; null leaves it outside."
}

variable "file_system" {
  type = object({
    access_point_arn = string
    mount_path       = optional(string, "/mnt/models")
  })
  default     = null
  description = "Read bundles from a mounted file system, for those too large for `/tmp`; needs `network`."

  validation {
    condition     = var.file_system == null || var.network != null
    error_message = "file_system of ${var.name} needs network: Lambda mounts a file system only from inside a VPC."
  }

  validation {
    condition     = var.file_system == null || try(can(regex("^/mnt/[A-Za-z0-9._-]+$", var.file_system.mount_path)), false)
    error_message = "file_system.mount_path of ${var.name} must be /mnt/ and a name of letters, digits, '.', '_' and '-': Lambda mounts nowhere else."
  }
}

variable "allow_pickle" {
  type        = bool
  default     = false
  nullable    = false
  description = "Load bundles of the cloudpickle format, which run whatever code their author put in them."
}

variable "environment" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Further environment variables of the function."

  validation {
    condition     = alltrue([for key in keys(var.environment) : !can(regex("^(SHEARLING|AWS|LAMBDA)_", key))])
    error_message = "environment of ${var.name} may not set SHEARLING_*, AWS_* or LAMBDA_*: the first are this module's, the others are Lambda's own."
  }

  validation {
    condition     = alltrue([for key in keys(var.environment) : can(regex("^[A-Za-z][A-Za-z0-9_]+$", key))])
    error_message = "environment of ${var.name} has names that Lambda does not take (two letters, digits or underscores at least, a letter first): ${join(", ", [for key in keys(var.environment) : key if !can(regex("^[A-Za-z][A-Za-z0-9_]+$", key))])}."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 30
  nullable    = false
  description = "How long logs are kept."

  validation {
    condition = contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      var.log_retention_days,
    )
    error_message = "log_retention_days must be a period that CloudWatch offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of the function's role."
}
