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

  validation {
    condition     = var.bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket must be the name of a bucket alone, 3 to 63 lower-case letters, digits, dots and hyphens: neither a URI nor an ARN."
  }
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
  description = "Key that encrypts the bucket; null encrypts with S3's own. For a bucket that exists: the key it uses, so that rights to it are handed out. Name the one before in `former_kms_key_arns` when you change it."

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key, as in arn:aws:kms:eu-central-1:123456789012:key/...: rights are given on keys and not on their aliases."
  }
}

variable "former_kms_key_arns" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "Keys that encrypted the bucket before: what was written under them is read with them still."

  validation {
    condition     = alltrue([for key in var.former_kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", key))])
    error_message = "former_kms_key_arns must be ARNs of keys, as in arn:aws:kms:eu-central-1:123456789012:key/...: rights are given on keys and not on their aliases."
  }
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
