# Batch runs over many objects.

variable "batch" {
  type        = any
  default     = null
  description = "Let models score many objects at once, by `sdk.batch` and `shearling batch`: what runs may read and where they may write. Null: no batch runs."

  validation {
    condition     = var.batch == null || can(keys(var.batch))
    error_message = "batch must be an object, as in batch = { sources = [\"s3://acme-lake/2026/\"], outputs = [\"s3://acme-scores/\"] }."
  }

  validation {
    condition     = length(setsubtract(try(keys(var.batch), []), local.attributes.batch)) == 0
    error_message = "batch has no attribute ${join(", ", setsubtract(try(keys(var.batch), []), local.attributes.batch))}. The attributes are ${join(", ", local.attributes.batch)}."
  }

  validation {
    condition     = alltrue([for name in try(var.batch.models, []) == null ? [] : try(tolist(var.batch.models), []) : contains(try(keys(var.models), []), name)])
    error_message = "batch.models must be names of models, without the name of the stack. There is no ${join(", ", [for name in try(var.batch.models, []) == null ? [] : try(tolist(var.batch.models), []) : name if !contains(try(keys(var.models), []), name)])}; the models are ${join(", ", try(keys(var.models), []))}."
  }
}
