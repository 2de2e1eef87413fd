variable "events" {
  type = map(object({
    model                = string
    event                = string
    alias                = string
    aliases              = list(string) # of the model
    function_name        = string
    timeout_seconds      = number
    reserved_concurrency = optional(number)
    source = object({
      bucket      = string
      prefix      = optional(string, "")
      suffix      = optional(string, "")
      kms_key_arn = optional(string)
      format      = optional(string)
    })
    output = object({
      bucket      = string
      prefix      = optional(string, "")
      kms_key_arn = optional(string)
      format      = optional(string)
    })
    options = object({
      on_bad_rows  = string
      keep_columns = bool
      header       = string
    })
    max_concurrency = number
    max_attempts    = number
    max_age_minutes = number
  }))
  nullable    = false
  description = "The events of all models, by `model:event`. `options` are those of a score request."

  validation {
    condition     = alltrue([for event in values(var.events) : can(regex("^[a-z][a-z0-9-]{0,31}$", event.event))])
    error_message = "The name of an event is a lower-case letter followed by up to 31 lower-case letters, digits or hyphens. Change ${join(", ", [for key, event in var.events : key if !(can(regex("^[a-z][a-z0-9-]{0,31}$", event.event)))])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : length("${event.function_name}_${event.event}") <= 64])
    error_message = "<name>-<model>_<event> names the rule of an event and has at most 64 characters. Change ${join(", ", [for key, event in var.events : "${event.function_name}_${event.event}" if !(length("${event.function_name}_${event.event}") <= 64)])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : contains(event.aliases, event.alias)])
    error_message = "alias of an event must be an alias of its model, and is needed if the model has several and no default_alias. Change ${join(", ", [for key, event in var.events : "${key} (alias ${event.alias})" if !(contains(event.aliases, event.alias))])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : alltrue([for bucket in [event.source.bucket, event.output.bucket] : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])])
    error_message = "source.bucket and output.bucket of an event must be names of buckets, as in acme-incoming, without s3:// and without a prefix. Change ${join(", ", [for key, event in var.events : key if !alltrue([for bucket in [event.source.bucket, event.output.bucket] : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", bucket))])])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : alltrue([for text in [event.source.prefix, event.source.suffix, event.output.prefix] : can(regex("^[^*?$<>\\x22\\x5c\\x00-\\x1f]{0,512}$", text))])])
    error_message = "source.prefix, source.suffix and output.prefix of an event must have none of * ? $ < >, no quotation mark and no backslash, which have a meaning in patterns. Change ${join(", ", [for key, event in var.events : key if !alltrue([for text in [event.source.prefix, event.source.suffix, event.output.prefix] : can(regex("^[^*?$<>\\x22\\x5c\\x00-\\x1f]{0,512}$", text))])])}."
  }

  validation {
    condition     = !anytrue([for event in values(var.events) : anytrue([for prefix in [event.source.prefix, event.output.prefix] : startswith(prefix, "/")])])
    error_message = "source.prefix and output.prefix of an event are what keys begin with, as in incoming/: a slash at their start would be part of each key. Change ${join(", ", [for key, event in var.events : key if anytrue([for prefix in [event.source.prefix, event.output.prefix] : startswith(prefix, "/")])])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : contains(["csv", "jsonl", "npy", "parquet", "image"], coalesce(event.source.format, "csv")) && contains(["csv", "jsonl", "npy", "parquet"], coalesce(event.output.format, "csv"))])
    error_message = "The format of a source must be csv, jsonl, npy, parquet or image, and that of an output csv, jsonl, npy or parquet. Change ${join(", ", [for key, event in var.events : key if !(contains(["csv", "jsonl", "npy", "parquet", "image"], coalesce(event.source.format, "csv")) && contains(["csv", "jsonl", "npy", "parquet"], coalesce(event.output.format, "csv")))])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : event.max_concurrency >= 2 && event.max_concurrency <= 1000 && floor(event.max_concurrency) == event.max_concurrency])
    error_message = "max_concurrency of an event must be a whole number from 2 to 1000, the limits of Lambda. Change ${join(", ", [for key, event in var.events : "${key} (${event.max_concurrency})" if !(event.max_concurrency >= 2 && event.max_concurrency <= 1000 && floor(event.max_concurrency) == event.max_concurrency)])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : event.reserved_concurrency == null ? true : event.max_concurrency <= event.reserved_concurrency])
    error_message = "max_concurrency of an event must not exceed reserved_concurrency of its model: Lambda would throttle the rest, and give objects up after max_attempts. Change ${join(", ", [for key, event in var.events : "${key} (max_concurrency = ${event.max_concurrency}, reserved_concurrency = ${event.reserved_concurrency == null ? 0 : event.reserved_concurrency})" if !(event.reserved_concurrency == null ? true : event.max_concurrency <= event.reserved_concurrency)])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : event.max_attempts >= 1 && event.max_attempts <= 1000 && floor(event.max_attempts) == event.max_attempts])
    error_message = "max_attempts of an event must be a whole number from 1 to 1000. Change ${join(", ", [for key, event in var.events : "${key} (${event.max_attempts})" if !(event.max_attempts >= 1 && event.max_attempts <= 1000 && floor(event.max_attempts) == event.max_attempts)])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : event.max_age_minutes >= 1 && event.max_age_minutes <= 5760])
    error_message = "max_age_minutes of an event must be 1 to 5760: its queue keeps a message for four days. Change ${join(", ", [for key, event in var.events : "${key} (${event.max_age_minutes})" if !(event.max_age_minutes >= 1 && event.max_age_minutes <= 5760)])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : contains(["fail", "skip"], event.options.on_bad_rows)])
    error_message = "on_bad_rows of an event must be fail, which scores no row of an object with an invalid one, or skip. Change ${join(", ", [for key, event in var.events : "${key} (${event.options.on_bad_rows})" if !(contains(["fail", "skip"], event.options.on_bad_rows))])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : contains(["auto", "present", "absent"], event.options.header)])
    error_message = "header of an event must be auto, present or absent: whether the first line of a CSV has names. Change ${join(", ", [for key, event in var.events : "${key} (${event.options.header})" if !(contains(["auto", "present", "absent"], event.options.header))])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : event.source.bucket != var.registry.bucket || !(startswith(event.source.prefix, var.registry.root) || startswith(var.registry.root, event.source.prefix))])
    error_message = "source of an event must not be in the registry, whose objects are models. Change ${join(", ", [for key, event in var.events : key if !(event.source.bucket != var.registry.bucket || !(startswith(event.source.prefix, var.registry.root) || startswith(var.registry.root, event.source.prefix)))])}."
  }

  validation {
    condition     = alltrue([for event in values(var.events) : event.output.bucket != var.registry.bucket || !(startswith(event.output.prefix, var.registry.root) || startswith(var.registry.root, event.output.prefix))])
    error_message = "output of an event must not be in the registry, whose objects are models. Change ${join(", ", [for key, event in var.events : key if !(event.output.bucket != var.registry.bucket || !(startswith(event.output.prefix, var.registry.root) || startswith(var.registry.root, event.output.prefix)))])}."
  }
}

variable "alias_arns" {
  type        = map(string)
  nullable    = false
  description = "ARN of each alias of the models, by `model:alias`."
}

variable "registry" {
  type = object({
    bucket       = string
    root         = string
    kms_key_arns = list(string)
  })
  nullable    = false
  description = "The registry, which no event reads or writes: output `registry` of the registry module."
}

variable "queue_key_arn" {
  type        = string
  default     = null
  description = "Key of the queues; null uses SQS's own. Its policy must admit EventBridge."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that alarms notify."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of everything that can have tags."
}
