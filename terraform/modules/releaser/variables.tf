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
    bucket       = string
    uri          = string
    region       = optional(string) # of the bucket, if it is another than the function's
    bucket_arn   = string
    root         = string
    kms_key_arns = list(string)
  })
  nullable    = false
  description = "The registry whose aliases are released: output `registry` of the registry module."
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
    name            = string
    aliases         = set(string)
    python          = string
    release_trigger = string # a change releases the function's aliases again
    file_system     = optional(object({ access_point_arn = string }))
    events          = optional(list(string), []) # names of its events, for `shearling events`
    sagemaker = optional(object({                # what the endpoints that serve its model are made of
      role_arn      = string
      image_uri     = string
      instance_type = optional(string)
      instances = optional(object({
        min    = number
        max    = number
        target = number
      }))
      serverless = optional(object({
        memory_mb       = number
        max_concurrency = number
      }))
      keep_minutes       = number
      calls_uri          = optional(string)
      startup_seconds    = optional(number)
      subnet_ids         = optional(list(string))
      security_group_ids = optional(list(string))
      kms_key_arn        = optional(string)
      log_retention_days = optional(number)
      log_key_arn        = optional(string)
      environment        = map(string)
    }))
    batch = optional(string) # ARN of the state machine of its batch runs, for `shearling batch`
  }))
  nullable    = false
  description = "The functions to release, by the name of the model that each serves."

  validation {
    condition     = alltrue([for model in keys(var.functions) : length("${var.name}-${model}") <= 64])
    error_message = "The event rule \"<name>-<model>\" has at most 64 characters. Too long: ${join(", ", [for model in keys(var.functions) : "${var.name}-${model}" if length("${var.name}-${model}") > 64])}."
  }
}

variable "endpoint_prefix" {
  type        = string
  default     = null
  description = "What the names of all functions begin with, whose models may be served by endpoints; required if one is."

  # The permissions outlast a model that is removed, whose endpoints the releaser still has to delete.
  validation {
    condition = alltrue([
      for function in values(var.functions) : function.sagemaker == null || startswith(function.name, coalesce(var.endpoint_prefix, "?"))
    ])
    error_message = "endpoint_prefix must be what the names of the functions with sagemaker begin with: ${join(", ", [
      for function in values(var.functions) : function.name if function.sagemaker != null && !startswith(function.name, coalesce(var.endpoint_prefix, "?"))
    ])}."
  }
}

variable "stager" {
  type = object({
    name = string
    arn  = string
  })
  default     = null
  description = "The function that copies bundles onto the file system; required if a function has a `file_system`."

  validation {
    condition     = var.stager != null || alltrue([for function in values(var.functions) : function.file_system == null])
    error_message = "A function with a file_system needs a stager, because nothing else can write to it."
  }
}

variable "api_url" {
  type        = string
  default     = null
  description = "URL of the API in front of the functions, which clients find in the registry."
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

variable "reconcile_interval_minutes" {
  type        = number
  default     = 5
  nullable    = false
  description = "How often the releaser reconciles all aliases, in case an event was lost; 1 to 1,440."

  validation {
    condition = (
      var.reconcile_interval_minutes >= 1 && var.reconcile_interval_minutes <= 1440
      && floor(var.reconcile_interval_minutes) == var.reconcile_interval_minutes
    )
    error_message = "reconcile_interval_minutes must be a whole number from 1 to 1440: without the schedule, an alias whose event was lost never moves."
  }
}

variable "full_reconcile_interval_minutes" {
  type        = number
  default     = 60
  nullable    = false
  description = "How often the releaser compares each alias with Lambda, which finds changes made by hand; 5 to 1,440. The other reconciliations read only the registry."

  validation {
    condition = (
      var.full_reconcile_interval_minutes >= 5 && var.full_reconcile_interval_minutes <= 1440
      && floor(var.full_reconcile_interval_minutes) == var.full_reconcile_interval_minutes
    )
    error_message = "full_reconcile_interval_minutes must be a whole number from 5 to 1440: without it, an alias that was moved by hand is never brought back."
  }
}

variable "reserved_concurrency" {
  type        = number
  default     = null
  description = "How many invocations run at the same time at most, 1 or more; null reserves none."

  validation {
    condition     = coalesce(var.reserved_concurrency, 1) >= 1
    error_message = "reserved_concurrency must be 1 or more: with 0 no alias would ever be released."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 30
  nullable    = false
  description = "How many days logs are kept; one of the periods that CloudWatch offers."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that is notified when releases fail and when they succeed again."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of the releaser's role."
}

variable "role" {
  type        = object({ arn = string })
  default     = null
  description = "A role to use instead of creating one. It needs the policies in the output `role_policies`."
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

variable "queue_key_arn" {
  type        = string
  default     = null
  description = "Key that encrypts the dead-letter queue; null encrypts with SQS's own. The key's policy must admit EventBridge."
}
