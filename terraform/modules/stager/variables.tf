variable "name" {
  type        = string
  nullable    = false
  description = "Name of the stager's function."

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
  description = "The registry that bundles are copied from, and the key its bucket is encrypted with."
}

variable "package" {
  type = object({
    bucket           = string
    key              = string
    source_code_hash = string
  })
  nullable    = false
  description = "The stager's code (`control.zip`): a zip in a bucket of this region, and its base64 SHA-256."
}

variable "network" {
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  nullable    = false
  description = "Where the stager stands: Lambda mounts a file system only from inside a VPC."
}

variable "file_system" {
  type = object({
    access_point_arn = string
    mount_path       = optional(string, "/mnt/models")
  })
  nullable    = false
  description = "The file system that bundles are copied to."
}

variable "releaser_arn" {
  type        = string
  nullable    = false
  description = "The releaser's function, which is told when a bundle is there, or why it is not."
}

variable "python" {
  type        = string
  default     = "3.13"
  nullable    = false
  description = "Python version of the Lambda runtime; the package must have been built for it."

  validation {
    condition     = contains(["3.12", "3.13", "3.14"], var.python) || (var.unsupported_python && var.python == "3.11")
    error_message = "python must be 3.12, 3.13 or 3.14: Lambda's 3.11 is Amazon Linux 2, where current wheels do not run."
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
  default     = 2048
  nullable    = false
  description = "Memory of the stager; processors and network come with it."

  validation {
    condition     = var.memory_mb >= 512 && var.memory_mb <= 10240 && floor(var.memory_mb) == var.memory_mb
    error_message = "memory_mb of ${var.name} must be a whole number from 512 to 10240: it holds what is under way between network and file system."
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
  description = "Permissions boundary of the stager's role."
}
