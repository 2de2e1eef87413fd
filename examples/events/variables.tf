variable "region" {
  type        = string
  default     = "eu-central-1"
  nullable    = false
  description = "AWS region to deploy to."
}

variable "name" {
  type        = string
  default     = "scoring"
  nullable    = false
  description = "Prefix of every name."
}

variable "packages" {
  type = object({
    runtime = string
    control = string
  })
  default = {
    runtime = "../../build/runtime.zip"
    control = "../../build/control.zip"
  }
  nullable    = false
  description = "Paths of the function packages; `make package` builds them."
}

variable "python" {
  type        = string
  default     = "3.13"
  nullable    = false
  description = "Python version that the packages were built for."
}

variable "timeout_seconds" {
  type        = number
  default     = 300
  nullable    = false
  description = "How long a function may take for one file."
}

variable "max_attempts" {
  type        = number
  default     = 5
  nullable    = false
  description = "How often a file is tried before it goes to the dead-letter queue."
}
