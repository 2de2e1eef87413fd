# Inputs of 0.1 under their old names: refused, with the new name in the message.

variable "network" {
  type        = any
  default     = null
  description = "The old name of `vpc`."

  validation {
    condition     = var.network == null
    error_message = "network is now vpc. Its list subnet_ids is now subnets, a map of the IDs by names of yours: vpc = { vpc_id = \"vpc-1\", subnets = { a = \"subnet-1\", b = \"subnet-2\" } }. docs/operations/upgrade.md says how existing mount targets are kept."
  }
}

variable "sweep_minutes" {
  type        = any
  default     = null
  description = "The old name of `reconcile_interval_minutes`."

  validation {
    condition     = var.sweep_minutes == null
    error_message = "sweep_minutes is now reconcile_interval_minutes."
  }
}
