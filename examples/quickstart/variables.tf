variable "region" {
  type        = string
  default     = "eu-central-1"
  nullable    = false
  description = "AWS region to deploy to."
}

variable "name" {
  type        = string
  default     = "quickstart"
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

variable "authorization" {
  type        = string
  default     = "AWS_IAM"
  nullable    = false
  description = "Who may call the API: `AWS_IAM` (signed requests) or `NONE` (everyone)."
}

variable "models" {
  type        = any
  default     = {}
  nullable    = false
  description = "Models of yours, as `shearling plan` prints them: write its output to `models.auto.tfvars`."
}
