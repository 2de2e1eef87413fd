# The types of the inputs whose type is `any` are in modules/inputs.
# Other inputs: variables_models.tf, variables_network.tf, variables_api.tf and variables_operations.tf.

variable "name" {
  type        = string
  nullable    = false
  description = "Prefix of every name: `<name>-<model>` for functions, `<name>_releaser` for the releaser."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 32 lower-case letters, digits or hyphens, starting with a letter and not ending with a hyphen: it becomes part of a bucket's name."
  }
}

variable "packages" {
  type        = any
  nullable    = false
  description = "The function packages: paths of what `make package` builds, or objects in S3 as `shearling package --upload` prints them."

  validation {
    condition = try(keys(var.packages), []) == ["control", "runtime"] && alltrue([
      for package in try(values(var.packages), []) : can(coalesce(tostring(package))) || contains(local.package_forms, try(join(",", keys(package)), ""))
    ])
    error_message = "packages must have runtime and control, each a path, or an object in S3 as { bucket = \"...\", key = \"...\", source_code_hash = \"...\" }. Build them with `make package`."
  }
}

variable "registry" {
  type        = any
  default     = {}
  nullable    = false
  description = "Where models are kept. An existing bucket keeps its settings; let it send events to EventBridge, or a moved alias waits for the next reconciliation."

  validation {
    condition     = can(keys(var.registry))
    error_message = "registry must be an object, as in { bucket = \"acme-models\" }."
  }

  validation {
    condition = length(setsubtract(concat(try(keys(var.registry), []), [for name in try(keys(var.registry.access_log), []) : "access_log.${name}"]), local.attributes.registry)) == 0
    error_message = "${join(" ", [
      for name in setsubtract(concat(try(keys(var.registry), []), [for name in try(keys(var.registry.access_log), []) : "access_log.${name}"]), local.attributes.registry) :
      contains(keys(local.renamed), "registry.${name}") ? "registry.${name} is now ${local.renamed["registry.${name}"]}." : "registry has no attribute ${name}."
    ])} The attributes are ${join(", ", local.attributes.registry)}."
  }

  validation {
    condition     = try(var.registry.bucket, null) == null || !try(tobool(var.registry.force_destroy), false)
    error_message = "registry.force_destroy is for the bucket that this module creates: it never deletes an existing bucket."
  }

  validation {
    condition = try(var.registry.region, null) == null || (
      length(try(var.vpc.route_table_ids, [])) == 0 && alltrue([for model in try(values(var.models), []) : try(model.network, null) == null])
    )
    error_message = "registry.region is another region, which a gateway to S3 does not reach: leave vpc.route_table_ids and the models' network out, and use subnets with another way to S3, as a NAT gateway."
  }
}

variable "python" {
  type        = string
  default     = "3.13"
  nullable    = false
  description = "Python version of the Lambda runtimes, `3.12` to `3.14`; the packages must have been built for it."
}

variable "architecture" {
  type        = string
  default     = "x86_64"
  nullable    = false
  description = "Processor that the packages were built for: `x86_64` or `arm64`."
}
