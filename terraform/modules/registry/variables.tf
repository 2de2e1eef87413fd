variable "name" {
  type        = string
  nullable    = false
  description = "Prefix of the bucket's name: `<name>-<account>-<region>`. Unused when `bucket` is given."

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,33}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 35 lower-case letters, digits or hyphens: S3 allows 63 characters, and account and region follow."
  }
}

variable "bucket" {
  type        = string
  default     = null
  description = "A bucket that exists, to share its registry; null creates one. It must be known at plan, and it keeps its own settings: only objects are added."
}

variable "prefix" {
  type        = string
  default     = ""
  nullable    = false
  description = "Where the registry lies in the bucket, without slashes at the ends; empty for the whole bucket."

  validation {
    condition     = can(regex("^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$", var.prefix))
    error_message = "prefix must be path segments of letters, digits, '.', '_' and '-', without a slash at either end: it becomes part of IAM and event patterns, where '*' and '$' mean something else."
  }
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Key that encrypts the bucket; null encrypts with S3's own. For a bucket that exists: the key it uses, so that rights to it are handed out."
}

variable "force_destroy" {
  type        = bool
  default     = false
  nullable    = false
  description = "Let models be deleted, and the bucket with all models in it. Apply this before `terraform destroy`."

  validation {
    condition     = var.bucket == null || !var.force_destroy
    error_message = "force_destroy is for the bucket that this module creates: a bucket that exists is never deleted."
  }
}

variable "packages" {
  type        = set(string)
  default     = []
  nullable    = false
  description = "Paths of function packages (zip files) to upload; each is kept under the digest of its content."

  validation {
    condition     = alltrue([for path in var.packages : fileexists(path)])
    error_message = "No such file: ${join(", ", [for path in var.packages : path if !fileexists(path)])}. Build the packages first: `make package` or `shearling package`."
  }
}

variable "aliases" {
  type        = map(set(string))
  default     = {}
  nullable    = false
  description = "The aliases of each model for which a policy to promote is written: `{ fraud = [\"prod\"] }`."
}
