variable "name" {
  type        = string
  nullable    = false
  description = "Name of the file system, and prefix of its security groups'."

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,64}$", var.name))
    error_message = "name must be 1 to 64 letters, digits, hyphens or underscores: it is the file system's creation token."
  }
}

variable "network" {
  type = object({
    vpc_id          = string
    subnet_ids      = list(string)               # of different availability zones
    route_table_ids = optional(list(string), []) # of those subnets; each gets a route to S3
  })
  nullable    = false
  description = "Where the functions stand that mount it: a mount target is created in each subnet."

  validation {
    condition     = length(var.network.subnet_ids) > 0
    error_message = "network.subnet_ids must name a subnet at least: a file system is reached by a mount target."
  }
}

variable "existing" {
  type = object({
    access_point_arn   = string
    security_group_ids = optional(list(string), []) # of its mount targets; they are opened for the functions
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
  description = "Key that encrypts the file system; null encrypts with EFS's own."
}

variable "writer_role_arns" {
  type        = list(string)
  nullable    = false
  description = "The roles that may write, if allowed to: the stager's. Everybody else reads at most."

  validation {
    condition     = length(var.writer_role_arns) > 0
    error_message = "writer_role_arns must name a role: a file system to which nobody writes stays empty."
  }
}
