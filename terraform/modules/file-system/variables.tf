variable "name" {
  type        = string
  nullable    = false
  description = "Name of the file system, and prefix of the names of its security groups."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits, hyphens or underscores: it is the file system's creation token."
  }
}

variable "vpc" {
  type = object({
    vpc_id          = string
    subnets         = map(string)                # IDs by names of yours, known at plan; of different availability zones
    route_table_ids = optional(list(string), []) # of those subnets; each gets a route to S3
  })
  nullable    = false
  description = "Where the functions run that mount the file system; each subnet gets a mount target."

  validation {
    condition     = length(var.vpc.subnets) > 0
    error_message = "vpc.subnets must have at least one subnet: functions reach the file system through a mount target."
  }
}

variable "existing" {
  type = object({
    access_point_arn   = string
    security_group_ids = optional(list(string), []) # of its mount targets; they get a rule that admits the functions
  })
  default     = null
  description = "An access point to use instead of creating a file system. Its own policy decides who may write."

  validation {
    condition     = var.existing == null || try(can(regex(":access-point/", var.existing.access_point_arn)), false)
    error_message = "existing.access_point_arn must be the ARN of an access point: Lambda mounts no file system without one."
  }
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Key that encrypts the file system; null encrypts with EFS's own key."
}

variable "stager_name" {
  type        = string
  nullable    = false
  description = "Name of the stager's function, the only one that writes to the file system."
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
  description = "The registry that bundles are copied from: output `registry` of the registry module."
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

variable "releaser_arn" {
  type        = string
  nullable    = false
  description = "ARN of the releaser's function, which receives the stager's results."
}

variable "stager_memory_mb" {
  type        = number
  default     = 2048
  nullable    = false
  description = "Memory of the stager, 512 to 10,240. Lambda gives processor time and network bandwidth in proportion."

  validation {
    condition     = var.stager_memory_mb >= 512
    error_message = "stager_memory_mb must be at least 512: the stager keeps the parts that it copies in memory."
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

variable "log_retention_days" {
  type        = number
  default     = 30
  nullable    = false
  description = "How many days logs are kept; one of the periods that CloudWatch offers."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of the stager's role."
}

variable "stager_role" {
  type        = object({ arn = string })
  default     = null
  description = "A role of the stager to use instead of creating one. It needs the policies in the output `stager_role_policies`."
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
