# Inputs of 0.1 under their old names: refused, with the new name in the message.

variable "former_kms_key_arns" {
  type        = any
  default     = null
  description = "The old name of `previous_kms_key_arns`."

  validation {
    condition     = var.former_kms_key_arns == null
    error_message = "former_kms_key_arns is now previous_kms_key_arns."
  }
}
