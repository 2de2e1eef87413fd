variable "name" {
  type        = string
  nullable    = false
  description = "Name of the repository; functions whose names begin with it and a hyphen may run its images."
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Key that encrypts the images; null encrypts with S3's own. Another key replaces the repository."
}

variable "keep_images" {
  type        = number
  default     = null
  description = "How many images are kept, the newest; null keeps all."

  validation {
    condition     = var.keep_images == null || try(var.keep_images >= 1 && floor(var.keep_images) == var.keep_images, false)
    error_message = "image_repository.keep_images must be a whole number of at least 1, or null to keep all images."
  }
}

variable "force_destroy" {
  type        = bool
  default     = false
  nullable    = false
  description = "Allow deletes of the repository with images in it."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of the repository."
}
