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
  description = "An existing bucket to use; null creates one. The name must be known at plan. The bucket keeps its settings: this module only adds objects."

  validation {
    condition     = var.bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket must be the name of a bucket alone, 3 to 63 lower-case letters, digits, dots and hyphens: neither a URI nor an ARN."
  }
}

variable "region" {
  type        = string
  default     = null
  description = "Region of an existing bucket in another region than the functions; null for a bucket in theirs."

  validation {
    condition     = var.region == null || var.bucket != null
    error_message = "region is for an existing bucket: the bucket that this module creates is in the provider's region. Give its name as bucket."
  }

  validation {
    condition     = var.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be the code of an AWS region, as in eu-central-1."
  }

  validation {
    condition     = var.region == null || var.region != data.aws_service.s3.region
    error_message = "region is for a bucket in another region, and ${data.aws_service.s3.region} is the region of the functions: leave it out. They then learn of moved aliases from the bucket's events."
  }
}

variable "packages_bucket" {
  type        = string
  default     = null
  description = "An existing bucket for the function packages, in the functions' region; null uploads them to the registry's bucket. Lambda takes no package from another region."

  validation {
    condition     = var.packages_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.packages_bucket))
    error_message = "packages_bucket must be the name of a bucket alone, 3 to 63 lower-case letters, digits, dots and hyphens: neither a URI nor an ARN."
  }

  validation {
    condition     = var.packages_bucket != null || var.region == null || length(var.packages) == 0
    error_message = "region needs packages_bucket, a bucket in the functions' region: Lambda takes no package from the registry's bucket in another region. Or give packages that were uploaded, as { bucket, key, source_code_hash }."
  }
}

variable "accounts" {
  type        = set(string)
  default     = []
  nullable    = false
  description = "Other AWS accounts whose stacks may serve from this registry: the bucket's policy lets them read it, and write their own deployments and releases."

  validation {
    condition     = alltrue([for account in var.accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "accounts must be the numbers of AWS accounts, twelve digits each in quotes: [\"123456789012\"]."
  }
}

variable "prefix" {
  type        = string
  default     = ""
  nullable    = false
  description = "Prefix of the registry in the bucket, without slashes at the ends; empty for the whole bucket."

  validation {
    condition     = can(regex("^([A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*)?$", var.prefix))
    error_message = "prefix must be path segments of letters, digits, '.', '_' and '-', without a slash at either end: it becomes part of IAM and event patterns, where '*' and '$' mean something else."
  }
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "Key that encrypts the bucket; null encrypts with S3's own key. For an existing bucket: the key that it uses, so that policies allow its use. When you change it, add the previous key to `previous_kms_key_arns`."

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key, as in arn:aws:kms:eu-central-1:123456789012:key/...: IAM grants permissions on keys, not on their aliases."
  }
}

variable "previous_kms_key_arns" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "Keys that encrypted the bucket before. Objects written with them still need them."

  validation {
    condition     = alltrue([for key in var.previous_kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", key))])
    error_message = "previous_kms_key_arns must be ARNs of keys, as in arn:aws:kms:eu-central-1:123456789012:key/...: IAM grants permissions on keys, not on their aliases."
  }
}

variable "force_destroy" {
  type        = bool
  default     = false
  nullable    = false
  description = "Allow deletes of models, and of the bucket with all models in it. Apply it before `terraform destroy`."

  validation {
    condition     = var.bucket == null || !var.force_destroy
    error_message = "force_destroy is for the bucket that this module creates: this module never deletes an existing bucket."
  }
}

variable "packages" {
  type        = set(string)
  default     = []
  nullable    = false
  description = "Paths of function packages (zip files) to upload; each object is named by the digest of its content."

  validation {
    condition     = alltrue([for path in var.packages : fileexists(path)])
    error_message = "No such file: ${join(", ", [for path in var.packages : path if !fileexists(path)])}. Build the packages first: `make package` or `shearling package`."
  }
}

variable "push_models" {
  type        = set(string)
  default     = []
  nullable    = false
  description = "Names of all models that may be pushed with the output `push_policies`."

  validation {
    condition     = alltrue([for model in var.push_models : can(regex("^[a-z0-9][a-z0-9-]{0,47}$", model))])
    error_message = "push_models must be names of models, 1 to 48 lower-case letters, digits and hyphens: they become part of IAM policies, where '*' and '?' mean something else."
  }
}

variable "aliases" {
  type        = map(set(string))
  default     = {}
  nullable    = false
  description = "The aliases of each model, for the output `promote_policies`: `{ fraud = [\"prod\"] }`."
}

variable "access_log" {
  type        = object({ bucket = string })
  default     = null
  description = "The bucket to which S3 writes who accessed the registry, below `<registry's bucket>/`. Its policy must admit `logging.s3.amazonaws.com`. An existing registry bucket keeps its own setting."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of the bucket. Objects have none: S3 allows ten, and a provider's default tags may be more."
}
