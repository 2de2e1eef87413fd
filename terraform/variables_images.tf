# Container images, for endpoints and for functions that need more than a zip holds.

variable "image_repository" {
  type        = any
  default     = null
  description = "A private repository for container images, `{}` for one with defaults; null for none. The output `image_repository_url` is for `shearling package image --push`."

  validation {
    condition     = var.image_repository == null || can(keys(var.image_repository))
    error_message = "image_repository must be an object, {} for the defaults, or null for none."
  }

  validation {
    condition     = length(setsubtract(try(keys(var.image_repository), []), local.attributes.image_repository)) == 0
    error_message = "image_repository has no attribute ${join(", ", setsubtract(try(keys(var.image_repository), []), local.attributes.image_repository))}. The attributes are ${join(", ", local.attributes.image_repository)}."
  }
}

variable "endpoint_image_uri" {
  type        = string
  default     = null
  description = "Container image of the models with `sagemaker` that name none, with its digest: what `shearling package image --push` prints."
}
