variable "region" {
  type        = string
  default     = "eu-central-1"
  nullable    = false
  description = "AWS region to deploy to."
}

variable "name" {
  type        = string
  default     = "overnight"
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

variable "max_concurrency" {
  type        = number
  default     = 100
  nullable    = false
  description = "How many parts of a run are scored at the same time at most."
}
