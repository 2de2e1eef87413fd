variable "name" {
  type        = string
  nullable    = false
  description = "Prefix of the names: `<name>_batch` for the state machine, `<name>_planner` for the function."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,50}$", var.name))
    error_message = "name must be 1 to 50 letters, digits, hyphens or underscores: other names are built on it."
  }
}

variable "function_names" {
  type        = list(string)
  nullable    = false
  description = "Names of the functions that runs may use."

  validation {
    condition     = length(var.function_names) > 0
    error_message = "batch needs a model to score with: add one to models, or to batch.models."
  }
}

variable "sources" {
  type        = list(string)
  nullable    = false
  description = "What runs read: `s3://bucket/prefix`; objects whose keys begin with the prefix."

  validation {
    condition     = length(var.sources) > 0
    error_message = "batch.sources is empty: name what runs may read, as in sources = [\"s3://acme-lake/2026/\"]."
  }

  validation {
    condition     = alltrue([for uri in var.sources : can(regex(local.uri, uri))])
    error_message = "batch.sources must be URIs of prefixes, as in s3://acme-lake/2026/, without patterns: a run names its objects itself. Change ${join(", ", [for uri in var.sources : substr(uri, 0, 100) if !can(regex(local.uri, uri))])}."
  }

  validation {
    condition = !anytrue([
      for place in [for uri in var.sources : regex(local.uri, uri) if can(regex(local.uri, uri))] : place.bucket == var.registry.bucket
      && (startswith(place.prefix, var.registry.root) || startswith(var.registry.root, place.prefix))
    ])
    error_message = "batch.sources must not be in the registry, whose objects are models. Change those in ${var.registry.bucket}."
  }
}

variable "outputs" {
  type        = list(string)
  nullable    = false
  description = "Where runs write: `s3://bucket/prefix`, in the region and account of the stack, because Step Functions reads no plan elsewhere."

  validation {
    condition     = length(var.outputs) > 0
    error_message = "batch.outputs is empty: name where runs may write, as in outputs = [\"s3://acme-scores/\"]."
  }

  validation {
    condition     = alltrue([for uri in var.outputs : can(regex(local.uri, uri))])
    error_message = "batch.outputs must be URIs of prefixes, as in s3://acme-scores/. Change ${join(", ", [for uri in var.outputs : substr(uri, 0, 100) if !can(regex(local.uri, uri))])}."
  }

  validation {
    condition = !anytrue([
      for place in [for uri in var.outputs : regex(local.uri, uri) if can(regex(local.uri, uri))] : place.bucket == var.registry.bucket
      && (startswith(place.prefix, var.registry.root) || startswith(var.registry.root, place.prefix))
    ])
    error_message = "batch.outputs must not be in the registry, whose objects are models. Change those in ${var.registry.bucket}."
  }
}

variable "max_concurrency" {
  type        = number
  default     = 100
  nullable    = false
  description = "How many parts of a run are scored at the same time at most, 1 to 10,000, the limit of Step Functions. A run may ask for less."

  validation {
    condition     = var.max_concurrency >= 1 && var.max_concurrency <= 10000 && floor(var.max_concurrency) == var.max_concurrency
    error_message = "batch.max_concurrency is ${var.max_concurrency}, but must be a whole number from 1 to 10000, the limit of Step Functions."
  }
}

variable "source_key_arns" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "Keys of the sources."
}

variable "output_key_arns" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "Keys of the outputs' buckets."
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
  description = "The registry: output `registry` of the registry module."
}

variable "package" {
  type = object({
    bucket           = string
    key              = string
    source_code_hash = string
  })
  nullable    = false
  description = "The planner's code (`control.zip`): a zip in a bucket of this region, and its base64 SHA-256."
}

variable "releaser_name" {
  type        = string
  nullable    = false
  description = "Name of the releaser, which publishes the version of an old run again."
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

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that is notified when a run fails."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of the roles."
}

variable "role" {
  type        = object({ arn = string })
  default     = null
  description = "A role of the state machine to use instead of creating one. It needs the policy in the output `role_policies`."
}

variable "planner_role" {
  type        = object({ arn = string })
  default     = null
  description = "A role of the planner to use instead of creating one. It needs the policies in the output `planner_role_policies`."
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
