variable "name" {
  type        = string
  nullable    = false
  description = "Name of the releaser's function."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,50}$", var.name))
    error_message = "name must be 1 to 50 letters, digits, hyphens or underscores: other names are built on it."
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
  description = "The registry whose aliases are released, and the key its bucket is encrypted with."
}

variable "package" {
  type = object({
    bucket           = string
    key              = string
    source_code_hash = string
  })
  nullable    = false
  description = "The releaser's code (`control.zip`): a zip in a bucket of this region, and its base64 SHA-256."
}

variable "functions" {
  type = map(object({
    name               = string
    aliases            = set(string)
    python             = string
    configuration_hash = string # its aliases are released anew when this changes
    file_system        = optional(object({ access_point_arn = string }))
  }))
  nullable    = false
  description = "The functions to release, by the model that each serves."

  validation {
    condition     = alltrue([for model in keys(var.functions) : length("${var.name}-${model}") <= 64])
    error_message = "The event rule \"<name>-<model>\" may have 64 characters; too long: ${join(", ", [for model in keys(var.functions) : "${var.name}-${model}" if length("${var.name}-${model}") > 64])}."
  }
}

variable "stager" {
  type = object({
    name = string
    arn  = string
  })
  default     = null
  description = "The function that brings bundles to the file system of those functions that have one."

  validation {
    condition     = var.stager != null || alltrue([for function in values(var.functions) : function.file_system == null])
    error_message = "A function with a file_system needs a stager: nothing else can write there."
  }
}

variable "api_url" {
  type        = string
  default     = null
  description = "URL of the API in front of the functions, for clients to find."
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

variable "sweep_minutes" {
  type        = number
  default     = 5
  nullable    = false
  description = "How often all aliases are looked at, in case an event was lost."

  validation {
    condition     = var.sweep_minutes >= 1 && var.sweep_minutes <= 1440 && floor(var.sweep_minutes) == var.sweep_minutes
    error_message = "sweep_minutes must be a whole number from 1 to 1440: without a sweep, an alias whose event was lost never moves."
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

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that is told when releases fail and when they work again."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of the releaser's role."
}
