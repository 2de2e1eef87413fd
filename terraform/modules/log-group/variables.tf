variable "name" {
  type        = string
  nullable    = false
  description = "Name of the log group."
}

variable "retention_days" {
  type        = number
  nullable    = false
  description = "How many days log events are kept."

  validation {
    condition = contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      var.retention_days,
    )
    error_message = "log_retention_days is ${var.retention_days}, but CloudWatch offers only 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 and 3653 days (log group ${var.name})."
  }
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Key that encrypts the log; null encrypts with CloudWatch's own. The key's policy must admit CloudWatch Logs."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of the log group."
}
