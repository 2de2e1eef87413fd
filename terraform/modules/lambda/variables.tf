variable "name" {
  type        = string
  nullable    = false
  description = "Name of the function. The role and the log group are named after it."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name is \"${var.name}\", but the name of a function has 1 to 64 letters, digits, hyphens or underscores."
  }
}

variable "description" {
  type        = string
  nullable    = false
  description = "What the function does, for Lambda's console."
}

variable "handler" {
  type        = string
  nullable    = false
  description = "Python name of the handler, as in `shearling_runtime.handler.handler`."
}

variable "registry" {
  type = object({
    uri          = string
    region       = optional(string) # of the bucket, if it is another than the function's
    bucket_arn   = string
    root         = string # what keys begin with: "" or "prefix/"
    kms_key_arns = list(string)
  })
  nullable    = false
  description = "The registry that the function reads: output `registry` of the registry module."
}

variable "registry_folders" {
  type        = list(string)
  nullable    = false
  description = "Folders of the registry that the function may list and read, as in `blobs`."
}

variable "package" {
  type = object({
    bucket           = string
    key              = string
    source_code_hash = string
  })
  description = "The function's code: a zip in a bucket of this region, and its base64 SHA-256; null for an image."
}

variable "image_uri" {
  type        = string
  default     = null
  description = "The function's code as a container image, instead of `package`: its name in ECR with its digest, known at plan."

  validation {
    condition     = (var.image_uri == null) != (var.package == null)
    error_message = "${var.name} needs either package or image_uri."
  }

  # By a tag, an apply would not notice that the image changed.
  validation {
    condition     = var.image_uri == null || can(regex("^[0-9]{12}\\.dkr[.-]ecr(-fips)?\\.[a-z0-9-]+\\.(amazonaws\\.com(\\.cn)?|on\\.aws|on\\.amazonwebservices\\.com\\.cn)/[a-z0-9/._-]+@sha256:[0-9a-f]{64}$", var.image_uri))
    error_message = "image_uri of ${var.name} is ${try("\"${substr(var.image_uri, 0, 200)}\"", "null")}, but must name an image in a private repository of Amazon ECR with its digest, <account>.dkr.ecr.<region>.amazonaws.com/<repository>@sha256:<64 hex digits>, as `shearling package image --push` prints it."
  }
}

variable "policy_name" {
  type        = string
  nullable    = false
  description = "Name of the role's inline policy. Another name replaces the policy."
}

variable "policy_statements" {
  type        = any # a list of objects, which need not have the same attributes
  default     = []
  nullable    = false
  description = "Further statements of the role's policy."
}

variable "managed_policies" {
  type        = any # a list of lists of objects
  default     = []
  nullable    = false
  description = "Statements of further policies, at most 6,144 characters each, for what the role's policy has no room for."
}

variable "environment" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Environment variables besides `SHEARLING_REGISTRY` and `SHEARLING_MOUNT`, which this module sets."

  validation {
    condition     = length(setintersection(keys(var.environment), ["SHEARLING_MODEL", "SHEARLING_STAGED_ENDPOINT"])) == 0
    error_message = "environment of ${var.name} sets ${join(" and ", setintersection(keys(var.environment), ["SHEARLING_MODEL", "SHEARLING_STAGED_ENDPOINT"]))}, but only the releaser sets it: an apply ignores its value."
  }
}

variable "python" {
  type        = string
  nullable    = false
  description = "Python version of the Lambda runtime: 3.12, 3.13 or 3.14."

  validation {
    condition     = contains(local.pythons, var.python)
    error_message = "python of ${var.name} is \"${var.python}\", but must be one of ${join(", ", local.pythons)}. Lambda's Python 3.11 runs on Amazon Linux 2, where current numpy and onnxruntime wheels do not load."
  }
}

variable "architecture" {
  type        = string
  nullable    = false
  description = "Processor that the package was built for: `x86_64` or `arm64`."

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture of ${var.name} is \"${var.architecture}\", but must be x86_64 or arm64."
  }
}

variable "memory_mb" {
  type        = number
  nullable    = false
  description = "Memory of the function."

  validation {
    condition     = var.memory_mb >= 128 && var.memory_mb <= 10240 && floor(var.memory_mb) == var.memory_mb
    error_message = "memory_mb of ${var.name} is ${var.memory_mb}, but must be a whole number from 128 to 10240."
  }
}

variable "timeout_seconds" {
  type        = number
  nullable    = false
  description = "How long one invocation may take."

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 900 && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds of ${var.name} is ${var.timeout_seconds}, but must be a whole number from 1 to 900."
  }
}

variable "ephemeral_storage_mb" {
  type        = number
  default     = 512
  nullable    = false
  description = "Size of `/tmp`."

  validation {
    condition = (
      var.ephemeral_storage_mb >= 512 && var.ephemeral_storage_mb <= 10240
      && floor(var.ephemeral_storage_mb) == var.ephemeral_storage_mb
    )
    error_message = "ephemeral_storage_mb of ${var.name} is ${var.ephemeral_storage_mb}, but must be a whole number from 512 to 10240."
  }
}

variable "reserved_concurrency" {
  type        = number
  default     = null
  description = "How many invocations run at the same time at most; null reserves none."
}

variable "publish" {
  type        = bool
  default     = false
  nullable    = false
  description = "Publish a version when the function is created or changed, for aliases to start at."
}

variable "snap_start" {
  type        = bool
  default     = false
  nullable    = false
  description = "Start published versions from a snapshot."
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
    writable         = optional(bool, false)
  })
  default     = null
  description = "The file system that the function mounts; it needs `vpc`."

  validation {
    condition     = var.file_system == null || var.vpc != null
    error_message = "file_system of ${var.name} needs vpc: Lambda mounts a file system only inside a VPC."
  }

  validation {
    condition     = var.file_system == null || try(can(regex("^/mnt/[A-Za-z0-9._-]+$", var.file_system.mount_path)), false)
    error_message = "file_system.mount_path of ${var.name} must be /mnt/ followed by letters, digits, '.', '_' or '-': Lambda mounts file systems nowhere else."
  }
}

variable "log_retention_days" {
  type        = number
  nullable    = false
  description = "How many days logs are kept."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of the role."
}

variable "role" {
  type        = object({ arn = string })
  default     = null
  description = "A role to use instead of creating one. It needs the policies in the output `policies`."
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

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{0,30}$", var.options.role_name_prefix))
    error_message = "role_name_prefix must be up to 30 letters, digits or any of +=,.@_-, because a role's name has at most 64 characters."
  }

  validation {
    condition     = var.options.log_level == null || contains(["DEBUG", "INFO", "WARN"], coalesce(var.options.log_level, "INFO"))
    error_message = "log_level must be DEBUG, INFO or WARN. Metrics and the lines of single requests are of the level INFO, so a higher level of the application is not offered."
  }

  validation {
    condition     = contains(["Active", "PassThrough"], var.options.tracing)
    error_message = "tracing must be Active, which samples requests, or PassThrough, which traces only requests that their caller traces."
  }
}
