# How the stack is operated: schedules, alarms, logs, roles, keys and tags.

variable "reconcile_interval_minutes" {
  type        = number
  default     = 5
  nullable    = false
  description = "How often the releaser reconciles all aliases, in case an event was lost; 1 to 1,440."
}

variable "full_reconcile_interval_minutes" {
  type        = number
  default     = 60
  nullable    = false
  description = "How often the releaser compares each alias with Lambda, which finds changes made by hand; 5 to 1,440. The other reconciliations read only the registry."
}

variable "releaser_reserved_concurrency" {
  type        = number
  default     = null
  description = "How many invocations of the releaser run at the same time at most; null reserves none. A limit keeps a flood of events from using the account's concurrency."
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
  description = "Permissions boundary of all roles."
}

variable "role_name_prefix" {
  type        = string
  default     = ""
  nullable    = false
  description = "Prefix of the names of all roles that this module creates. Changing it replaces them."
}

variable "control_roles" {
  type        = any
  default     = {}
  nullable    = false
  description = "Roles that exist, for the releaser, the stager, the catalog, the planner and the state machine of batch runs (`batch`). Each needs the policy in the output `role_policies`. A model's own is its `role`."

  validation {
    condition     = can(keys(var.control_roles))
    error_message = "control_roles must be an object, as in { releaser = { arn = \"arn:aws:iam::...\" } }."
  }

  validation {
    condition = length(setsubtract(flatten([
      try(keys(var.control_roles), []), [for key, role in try(merge(var.control_roles), {}) : [for name in try(keys(role), []) : "${key}.${name}"]],
    ]), local.attributes.control_roles)) == 0
    error_message = "control_roles has no attribute ${join(", ", setsubtract(flatten([
      try(keys(var.control_roles), []), [for key, role in try(merge(var.control_roles), {}) : [for name in try(keys(role), []) : "${key}.${name}"]],
    ]), local.attributes.control_roles))}. The attributes are ${join(", ", local.attributes.control_roles)}."
  }
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of everything that can have tags, except for objects in S3."

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "A tag's key must not begin with aws:, which AWS keeps for itself. Rename ${join(", ", [for key in keys(var.tags) : key if startswith(lower(key), "aws:")])}."
  }
}

variable "kms" {
  type        = any
  default     = {}
  nullable    = false
  description = "Keys that encrypt logs, environment variables and the queues; AWS's own keys otherwise. `registry` and `file_system` have their keys."

  validation {
    condition     = can(keys(var.kms))
    error_message = "kms must be an object, as in { logs_key_arn = \"arn:aws:kms:...\" }."
  }

  validation {
    condition     = length(setsubtract(try(keys(var.kms), []), local.attributes.kms)) == 0
    error_message = "kms has no attribute ${join(", ", setsubtract(try(keys(var.kms), []), local.attributes.kms))}. The attributes are ${join(", ", local.attributes.kms)}."
  }

  validation {
    condition     = alltrue([for key in try(values(var.kms), []) : key == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", key))])
    error_message = "The attributes of kms must be ARNs of keys, as in arn:aws:kms:eu-central-1:123456789012:key/...: IAM grants permissions on keys, not on their aliases. Change ${join(", ", [for name, key in try(merge(var.kms), {}) : "kms.${name}" if key != null && !can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", key))])}."
  }
}

variable "log_level" {
  type        = string
  default     = null
  description = "Least level of the functions' logs: `DEBUG`, `INFO` or `WARN`; null leaves it to Lambda. `WARN` drops Lambda's own lines about each request; the metrics are lines of the level `INFO` and stay."
}

variable "tracing" {
  type        = string
  default     = "PassThrough"
  nullable    = false
  description = "Whether X-Ray traces requests: `Active`, or `PassThrough` for those that their caller traces."
}

variable "code_signing_config_arn" {
  type        = string
  default     = null
  description = "Code signing configuration of all functions. Lambda then takes only signed packages, which are in S3 already: see `packages`."
}
