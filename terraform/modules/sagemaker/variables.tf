variable "models" {
  type = map(object({
    function_name = string
    aliases       = list(string)
    image_uri     = optional(string)
    instance_type = optional(string)
    instances = optional(object({
      min    = number
      max    = optional(number)
      target = optional(number)
    }))
    serverless = optional(object({
      memory_mb       = number
      max_concurrency = number
    }))
    keep_minutes    = number
    startup_seconds = optional(number)
    kms_key_arn     = optional(string)
    role            = optional(object({ arn = string }))
    vpc = optional(object({
      subnet_ids         = list(string)
      security_group_ids = list(string)
    }))
    environment  = optional(map(string), {})
    allow_pickle = optional(bool, false)

    # What the function has besides, for the rules.
    timeout_seconds = optional(number, 30)
    excluded        = optional(list(string), []) # of its attributes those that an endpoint excludes
    has_jobs        = optional(bool, false)
    has_events      = optional(bool, false)
    has_batch       = optional(bool, false)
    calls_uri       = optional(string) # where calls of an asynchronous endpoint are
  }))
  nullable    = false
  description = "The models that endpoints serve, by name."

  # An endpoint is named <function>-<8 hexadecimal digits>.
  validation {
    condition     = alltrue([for each in values(var.models) : can(regex("^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", each.function_name)) && length(each.function_name) <= 54])
    error_message = "The name of an endpoint, <name>-<model>-<8 digits>, has at most 63 characters, and <model> ends with no hyphen. Rename ${join(", ", [for model, each in var.models : "${model} (${each.function_name}-...)" if !(can(regex("^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", each.function_name)) && length(each.function_name) <= 54)])}."
  }

  validation {
    condition     = alltrue([for each in values(var.models) : length(each.excluded) == 0])
    error_message = "sagemaker excludes endpoint_name, snap_start and file_system, because the function loads no model: leave out ${join(", ", flatten([for model, each in var.models : [for attribute in each.excluded : "${attribute} of ${model}"]]))}."
  }

  validation {
    condition     = alltrue([for each in values(var.models) : (each.instance_type == null) != (each.serverless == null)])
    error_message = "sagemaker needs either instance_type, as in \"ml.m5.xlarge\", or serverless, as in { memory_mb = 6144, max_concurrency = 20 }. Change ${join(", ", [for model, each in var.models : "${model} (${each.serverless == null ? "neither" : "both"})" if(each.instance_type == null) == (each.serverless == null)])}."
  }

  validation {
    condition     = alltrue([for each in values(var.models) : each.instance_type == null ? true : can(regex("^ml\\.[a-z][a-z0-9-]*\\.[a-z0-9-]+$", each.instance_type))])
    error_message = "sagemaker.instance_type must be the name of an instance type of SageMaker, as in ml.m5.xlarge. Change ${join(", ", [for model, each in var.models : "${model} (${substr(coalesce(each.instance_type, "null"), 0, 80)})" if !(each.instance_type == null ? true : can(regex("^ml\\.[a-z][a-z0-9-]*\\.[a-z0-9-]+$", each.instance_type)))])}."
  }

  # By a tag, an apply would not notice that the image changed.
  validation {
    condition = alltrue([
      for each in values(var.models) : can(regex("^[0-9]{12}\\.dkr[.-]ecr(-fips)?\\.[a-z0-9-]+\\.(amazonaws\\.com(\\.cn)?|on\\.aws|on\\.amazonwebservices\\.com\\.cn)/[a-z0-9/._-]+@sha256:[0-9a-f]{64}$", each.image_uri))
    ])
    error_message = "sagemaker.image_uri must name an image in a private repository of Amazon ECR with its digest, <account>.dkr.ecr.<region>.amazonaws.com/<repository>@sha256:<64 hex digits>, as `shearling package image --push` prints it. Change ${join(", ", [
      for model, each in var.models : "${model} (${each.image_uri == null ? "none; endpoint_image_uri has the one of all models" : substr(each.image_uri, 0, 120)})"
      if !can(regex("^[0-9]{12}\\.dkr[.-]ecr(-fips)?\\.[a-z0-9-]+\\.(amazonaws\\.com(\\.cn)?|on\\.aws|on\\.amazonwebservices\\.com\\.cn)/[a-z0-9/._-]+@sha256:[0-9a-f]{64}$", each.image_uri))
    ])}."
  }

  validation {
    condition = alltrue([
      for each in values(var.models) : each.serverless == null ? true : contains([1024, 2048, 3072, 4096, 5120, 6144], each.serverless.memory_mb)
    ])
    error_message = "sagemaker.serverless.memory_mb must be 1024, 2048, 3072, 4096, 5120 or 6144, the steps of SageMaker; a larger model needs an instance_type. Change ${join(", ", [
      for model, each in var.models : "${model} (${each.serverless.memory_mb})" if each.serverless == null ? false : !contains([1024, 2048, 3072, 4096, 5120, 6144], each.serverless.memory_mb)
    ])}."
  }

  validation {
    condition = alltrue([
      for each in values(var.models) : each.serverless == null ? true : contains(range(1, 201), each.serverless.max_concurrency)
    ])
    error_message = "sagemaker.serverless.max_concurrency must be a whole number from 1 to 200. Change ${join(", ", [
      for model, each in var.models : "${model} (${each.serverless.max_concurrency})" if each.serverless == null ? false : !contains(range(1, 201), each.serverless.max_concurrency)
    ])}."
  }

  validation {
    condition = alltrue([
      for each in values(var.models) : each.serverless == null || (each.instances == null && each.vpc == null && each.startup_seconds == null && each.kms_key_arn == null)
    ])
    error_message = "sagemaker.serverless excludes sagemaker.instances, startup_seconds and kms_key_arn, and the model's network: SageMaker runs serverless endpoints on instances of its own, outside of a VPC. Change ${join(", ", [
      for model, each in var.models : model if !(each.serverless == null || (each.instances == null && each.vpc == null && each.startup_seconds == null && each.kms_key_arn == null))
    ])}."
  }

  validation {
    condition = alltrue([
      for each in values(var.models) : each.instances == null ? true : (
        each.instances.min >= 0 && floor(each.instances.min) == each.instances.min
        && try(each.instances.max >= max(1, each.instances.min) && floor(each.instances.max) == each.instances.max, each.instances.max == null)
      )
    ])
    error_message = "sagemaker.instances.min and max must be whole numbers, min at least 0, and max at least min and 1. Change ${join(", ", [
      for model, each in var.models : "${model} (min ${each.instances.min}, max ${coalesce(each.instances.max, "null")})" if each.instances == null ? false : !(
        each.instances.min >= 0 && floor(each.instances.min) == each.instances.min
        && try(each.instances.max >= max(1, each.instances.min) && floor(each.instances.max) == each.instances.max, each.instances.max == null)
      )
    ])}."
  }

  validation {
    condition = alltrue([
      for each in values(var.models) : try(each.instances.target, null) == null ? true : each.instances.target >= 1 && floor(each.instances.target) == each.instances.target
    ])
    error_message = "sagemaker.instances.target must be a whole number of at least 1: the calls a minute and instance that the number of instances follows, or with min = 0 the calls that wait for each. Change ${join(", ", [
      for model, each in var.models : "${model} (${each.instances.target})" if try(each.instances.target, null) == null ? false : !(each.instances.target >= 1 && floor(each.instances.target) == each.instances.target)
    ])}."
  }

  validation {
    condition = alltrue([
      for each in values(var.models) : try(each.instances.min == 0, false) ? each.has_jobs && !each.has_events && !each.has_batch : true
    ])
    error_message = "sagemaker.instances.min = 0 needs jobs = {}, and excludes events and batch: nobody but a job waits until an instance has started. Set min to 1, leave out events, and name the other models in batch.models. Change ${join(", ", [
      for model, each in var.models : model if try(each.instances.min == 0, false) ? !(each.has_jobs && !each.has_events && !each.has_batch) : false
    ])}."
  }

  # A job has five attempts, of which each waits for this time.
  validation {
    condition     = alltrue([for each in values(var.models) : try(each.instances.min == 0, false) ? each.timeout_seconds >= 300 : true])
    error_message = "timeout_seconds of a model with sagemaker.instances.min = 0 must be at least 300: its jobs wait until an instance has started. Change ${join(", ", [for model, each in var.models : "${model} (${each.timeout_seconds})" if try(each.instances.min == 0, false) ? each.timeout_seconds < 300 : false])}."
  }

  # The function needs some seconds more than the endpoint, to say that it did not answer. A job or an event asks it more than once.
  validation {
    condition     = alltrue([for each in values(var.models) : each.timeout_seconds <= 65 || each.has_jobs || each.has_events])
    error_message = "timeout_seconds of a model with sagemaker must be at most 65: SageMaker ends a request after 60 seconds. Serve a model that takes longer from its function, with jobs = {} if callers do not wait. Change ${join(", ", [for model, each in var.models : "${model} (${each.timeout_seconds})" if !(each.timeout_seconds <= 65 || each.has_jobs || each.has_events)])}."
  }

  validation {
    condition     = alltrue([for each in values(var.models) : each.keep_minutes >= 0 && each.keep_minutes <= 1440 && floor(each.keep_minutes) == each.keep_minutes])
    error_message = "sagemaker.keep_minutes must be a whole number from 0 to 1440, a day: an endpoint that no alias needs is billed as long as it is kept. Change ${join(", ", [for model, each in var.models : "${model} (${each.keep_minutes})" if !(each.keep_minutes >= 0 && each.keep_minutes <= 1440 && floor(each.keep_minutes) == each.keep_minutes)])}."
  }

  validation {
    condition     = alltrue([for each in values(var.models) : each.startup_seconds == null ? true : each.startup_seconds >= 60 && each.startup_seconds <= 3600 && floor(each.startup_seconds) == each.startup_seconds])
    error_message = "sagemaker.startup_seconds must be a whole number from 60 to 3600, the limits of SageMaker. Change ${join(", ", [for model, each in var.models : "${model} (${each.startup_seconds})" if !(each.startup_seconds == null ? true : each.startup_seconds >= 60 && each.startup_seconds <= 3600 && floor(each.startup_seconds) == each.startup_seconds)])}."
  }
}

variable "function_names" {
  type        = map(string)
  nullable    = false
  description = "Name of each model's function. Apart from `models`, because the roles may refer to nothing else: see there."
}

variable "given_roles" {
  type        = set(string)
  default     = []
  nullable    = false
  description = "Models whose containers have a role that is given."
}

variable "registry" {
  type = object({
    uri          = string
    region       = optional(string) # of the bucket, if it is another than the endpoints'
    bucket_arn   = string
    root         = string
    kms_key_arns = list(string)
  })
  nullable    = false
  description = "The registry that the containers load their bundles from: output `registry` of the registry module."
}

variable "role_name_prefix" {
  type        = string
  default     = ""
  nullable    = false
  description = "Prefix of the names of the roles."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of the roles."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that alarms notify."
}

variable "log_retention_days" {
  type        = number
  nullable    = false
  description = "How many days the logs of containers are kept."
}

variable "logs_key_arn" {
  type        = string
  default     = null
  description = "Key that encrypts these logs; null encrypts with CloudWatch's own."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of everything that can have tags."
}
