variable "region" {
  type        = string
  default     = "eu-central-1"
  nullable    = false
  description = "AWS region to deploy to."
}

variable "environment" {
  type        = string
  nullable    = false
  description = "Name of the environment: part of every name, and the registry's prefix in the bucket."
}

variable "packages" {
  type = object({
    runtime = any
    control = any
  })
  default = {
    runtime = "../../build/runtime.zip"
    control = "../../build/control.zip"
  }
  nullable    = false
  description = "The function packages: paths, or objects in S3 as `shearling package --upload` prints them."
}

variable "ranker_package" {
  type        = any
  default     = "../../build/ranker.zip"
  nullable    = false
  description = "The package of the pickle, with the libraries that it needs: `shearling package runtime --for ranker:1`."
}

variable "fraud" {
  type = object({
    provisioned_concurrency = optional(number)
    reserved_concurrency    = optional(number)
  })
  default     = {}
  nullable    = false
  description = "How many sandboxes of `fraud` Lambda keeps ready, and how many run at most."
}

variable "bucket" {
  type        = string
  nullable    = false
  description = "The bucket of the models, which exists; it sends events to EventBridge, and its policy contains `bucket_policy`."
}

variable "kms_key_arn" {
  type        = string
  nullable    = false
  description = "The key of the bucket, which also encrypts the file system, logs, environment variables and the dead-letter queue."
}

variable "vpc_id" {
  type        = string
  nullable    = false
  description = "The VPC. The tag `tier = models` marks private subnets that nothing else uses, and their route tables."
}

variable "jwt" {
  type = object({
    issuer   = string
    audience = list(string)
    scopes   = optional(list(string), [])
  })
  nullable    = false
  description = "Which tokens the API accepts."
}

variable "domain" {
  type = object({
    name            = string
    certificate_arn = string
  })
  nullable    = false
  description = "Domain name of the API, and its certificate in ACM in the same region."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that is notified when releases fail."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of all roles."
}
