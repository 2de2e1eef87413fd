# Inputs of 0.1 under their old names: refused, with the new name in the message.

variable "network" {
  type        = any
  default     = null
  description = "The old name of `vpc`."

  validation {
    condition     = var.network == null
    error_message = "network is now vpc. Its list subnet_ids is now subnets, a map of the IDs by names of yours."
  }
}
