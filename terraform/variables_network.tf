# Where functions run, and the file system that they mount.

variable "vpc" {
  type        = any
  default     = null
  description = "Where functions with a `file_system` or a `network` run; all others run outside of a VPC."

  validation {
    condition = length(setsubtract(try(keys(var.vpc), []), local.attributes.vpc)) == 0
    error_message = "${join(" ", [
      for name in setsubtract(try(keys(var.vpc), []), local.attributes.vpc) :
      contains(keys(local.renamed), "vpc.${name}") ? "vpc.${name} is now ${local.renamed["vpc.${name}"]}." : "vpc has no attribute ${name}."
    ])} The attributes are ${join(", ", local.attributes.vpc)}."
  }

  validation {
    condition     = var.vpc != null || alltrue([for model in try(values(var.models), []) : try(model.file_system, null) == null])
    error_message = "file_system needs vpc, because Lambda mounts a file system only inside a VPC: ${join(", ", [for name, model in try(merge(var.models), {}) : name if try(model.file_system, null) != null])}."
  }

  validation {
    condition     = var.vpc != null || alltrue([for model in try(values(var.models), []) : try(model.network, null) == null])
    error_message = "network needs vpc, whose subnets the function runs in: ${join(", ", [for name, model in try(merge(var.models), {}) : name if try(model.network, null) != null])}."
  }

  validation {
    condition     = try(length(var.vpc.subnets) > 0, true)
    error_message = "vpc.subnets is empty: functions run in these subnets, and the file system has a mount target in each."
  }

  validation {
    condition     = try(length(distinct(values(var.vpc.subnets))) == length(var.vpc.subnets), true)
    error_message = "vpc.subnets has the same subnet under two names: a file system has one mount target in each availability zone."
  }
}

variable "file_system" {
  type        = any
  default     = {}
  nullable    = false
  description = "The file system of all models with `file_system = {}`. This module creates it, unless you give an access point."

  validation {
    condition     = can(keys(var.file_system))
    error_message = "file_system must be an object, as in { kms_key_arn = \"arn:aws:kms:...\" }."
  }

  validation {
    condition = length(setsubtract(concat(try(keys(var.file_system), []), [for name in try(keys(var.file_system.existing), []) : "existing.${name}"]), local.attributes.file_system)) == 0
    error_message = "${join(" ", [
      for name in setsubtract(concat(try(keys(var.file_system), []), [for name in try(keys(var.file_system.existing), []) : "existing.${name}"]), local.attributes.file_system) :
      "file_system has no attribute ${name}."
    ])} The attributes are ${join(", ", local.attributes.file_system)}."
  }
}
