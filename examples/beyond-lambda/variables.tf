variable "region" {
  type        = string
  default     = "eu-central-1"
  nullable    = false
  description = "AWS region to deploy to."
}

variable "name" {
  type        = string
  default     = "beyond"
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

variable "image_uri" {
  type        = string
  default     = null
  description = "The container image, with its digest, as `shearling package image --push` prints it; null serves the model in its function."
}

variable "instance_type" {
  type        = string
  default     = "ml.m5.xlarge"
  nullable    = false
  description = "Instance type of the endpoints."
}
