variable "name" {
  type        = string
  nullable    = false
  description = "What the bucket's name begins with. Another name replaces the bucket."
}

variable "purpose" {
  type        = string
  nullable    = false
  description = "What follows in the bucket's name, before account and region."
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Key that encrypts the objects; null uses S3's own."
}

variable "force_destroy" {
  type        = bool
  default     = false
  nullable    = false
  description = "Delete the bucket with objects in it."
}

variable "expire_days" {
  type        = number
  default     = null
  description = "Days after which objects are deleted; null keeps them."

  validation {
    condition     = var.expire_days == null ? true : var.expire_days >= 1 && floor(var.expire_days) == var.expire_days
    error_message = "expire_days is ${coalesce(var.expire_days, 0)}, but must be a whole number of days, at least 1."
  }
}

variable "expire_prefixes" {
  type        = list(string)
  default     = [""]
  nullable    = false
  description = "What the keys of objects begin with that expire; by default all do."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of the bucket."
}
