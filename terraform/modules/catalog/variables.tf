variable "name" {
  type        = string
  nullable    = false
  description = "Name of the catalog's function."
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
  description = "The registry that the catalog reads: output `registry` of the registry module."
}

variable "package" {
  type = object({
    bucket           = string
    key              = string
    source_code_hash = string
  })
  nullable    = false
  description = "The catalog's code (`control.zip`): a zip in a bucket of this region, and its base64 SHA-256."
}

variable "releaser_name" {
  type        = string
  nullable    = false
  description = "Name of the releaser whose functions are listed; several stacks may share a registry."
}

variable "function_names" {
  type        = set(string)
  nullable    = false
  description = "Names of the functions that are listed."
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
  description = "Permissions boundary of the catalog's role."
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
