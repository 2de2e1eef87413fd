variable "name" {
  type        = string
  nullable    = false
  description = "Prefix of the security group's name."
}

variable "vpc" {
  type = object({
    vpc_id          = string
    subnets         = map(string)
    route_table_ids = optional(list(string), []) # of those subnets; each gets a route to S3
  })
  nullable    = false
  description = "Where the functions run."
}

variable "registry" {
  type        = object({ bucket_arn = string })
  nullable    = false
  description = "The registry that the functions read: output `registry` of the registry module."
}

variable "s3_only" {
  type        = bool
  nullable    = false
  description = "Create a security group that reaches S3 alone. The gateway then admits only reads of the registry and what `written` names, for whatever uses its route tables."
}

variable "written" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "ARN of each bucket that the functions of `s3_only` read and write besides, for events and jobs."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of everything that this module creates."
}
