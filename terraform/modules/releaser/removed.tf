# Inputs of 0.1 under their old names: refused, with the new name in the message.

variable "sweep_minutes" {
  type        = any
  default     = null
  description = "The old name of `reconcile_interval_minutes`."

  validation {
    condition     = var.sweep_minutes == null
    error_message = "sweep_minutes is now reconcile_interval_minutes."
  }
}
