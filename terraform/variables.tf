variable "name" {
  type        = string
  nullable    = false
  description = "Prefix of every name: `<name>-<model>` for functions, `<name>_releaser` for the releaser."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 32 lower-case letters, digits or hyphens, starting with a letter and not ending with a hyphen: it becomes part of a bucket's name."
  }
}

# The types of the inputs whose type is `any` are in modules/inputs.

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

variable "models" {
  type        = any
  nullable    = false
  description = "The models to serve, by name. Each gets a function, which callers invoke by alias."

  # What is no map is empty to the rules after this one, which then leave the message to it.
  validation {
    condition     = can(keys(var.models)) && alltrue([for model in try(values(var.models), []) : can(keys(model))])
    error_message = "A model must be an object, as in models = { fraud = { aliases = { prod = {} } } }. Change ${can(keys(var.models)) ? join(", ", [for name, model in try(merge(var.models), {}) : name if !can(keys(model))]) : "models"}."
  }

  validation {
    condition = length(setsubtract(flatten([
      for model in try(values(var.models), []) : [
        try(keys(model), []),
        [for alias in try(values(model.aliases), []) : [for name in try(keys(alias), []) : "aliases.*.${name}"]],
        [for part in ["role", "network", "package", "file_system"] : [for name in try(keys(model[part]), []) : "${part}.${name}"]],
      ]
    ]), local.attributes.models)) == 0
    error_message = "${join(" ", flatten([
      for key, model in try(merge(var.models), {}) : [
        [for name in try(keys(model), []) : "The model ${key} has no attribute ${name}." if !contains(local.attributes.models, name)],
        [
          for part in ["role", "network", "package", "file_system"] : [
            for name in try(keys(model[part]), []) : "The model ${key} has no attribute ${part}.${name}."
            if !contains(local.attributes.models, "${part}.${name}")
          ]
        ],
        try([
          for alias, attributes in model.aliases : [
            for name in try(keys(attributes), []) : "The alias ${key}:${alias} has no attribute ${name}." if name != "provisioned_concurrency"
          ]
        ], []),
      ]
    ]))} The attributes of a model are ${join(", ", local.attributes.models)}."
  }

  validation {
    condition = alltrue([
      for model in try(values(var.models), []) : try(model.package, null) == null || can(coalesce(tostring(model.package))) || contains(local.package_forms, try(join(",", keys(model.package)), ""))
    ])
    error_message = "A model's package must be a path, or an object in S3 as { bucket = \"...\", key = \"...\", source_code_hash = \"...\" }. Change that of ${join(", ", [
      for name, model in try(merge(var.models), {}) : name
      if try(model.package, null) != null && !can(coalesce(tostring(model.package))) && !contains(local.package_forms, try(join(",", keys(model.package)), ""))
    ])}."
  }

  validation {
    condition     = alltrue(flatten([for model in try(values(var.models), []) : [for alias in try(values(model.aliases), []) : alias != null]]))
    error_message = "An alias must be an object, {} for one without attributes. Change ${join(", ", flatten([for key, model in try(merge(var.models), {}) : try([for name, alias in model.aliases : "${key}:${name}" if alias == null], [])]))}."
  }

  # Terraform's own message would not say which model and attribute it means.
  validation {
    condition = alltrue(flatten([
      for model in try(values(var.models), []) : [
        [for name in local.numbers : can(tonumber(model[name])) if can(model[name])],
        [for name in local.bools : can(tobool(model[name])) if can(model[name])],
        [for alias in try(values(model.aliases), []) : can(tonumber(alias.provisioned_concurrency)) if can(alias.provisioned_concurrency)],
      ]
    ]))
    error_message = join(" ", flatten([
      for key, model in try(merge(var.models), {}) : [
        [for name in local.numbers : "${name} of ${key} must be a number." if can(model[name]) && !can(tonumber(model[name]))],
        [for name in local.bools : "${name} of ${key} must be true or false." if can(model[name]) && !can(tobool(model[name]))],
        try([
          for name, alias in model.aliases : "provisioned_concurrency of ${key}:${name} must be a number."
          if can(alias.provisioned_concurrency) && !can(tonumber(alias.provisioned_concurrency))
        ], []),
      ]
    ]))
  }

  validation {
    condition     = alltrue([for model in try(keys(var.models), []) : can(regex("^[a-z0-9][a-z0-9-]{0,47}$", model))])
    error_message = "The name of a model has up to 48 lower-case letters, digits and hyphens, and starts with no hyphen. Rename ${join(", ", [for model in try(keys(var.models), []) : model if !can(regex("^[a-z0-9][a-z0-9-]{0,47}$", model))])}."
  }

  # The longest name that contains both is that of the releaser's event rule.
  validation {
    condition     = alltrue([for model in try(keys(var.models), []) : length("${var.name}_releaser-${model}") <= 64])
    error_message = "<name>_releaser-<model> has at most 64 characters. Too long: ${join(", ", [for model in try(keys(var.models), []) : "${var.name}_releaser-${model}" if length("${var.name}_releaser-${model}") > 64])}."
  }

  validation {
    condition = alltrue([
      for model in try(values(var.models), []) : try(model.default_alias, null) == null || try(contains(keys(model.aliases), model.default_alias), true)
    ])
    error_message = "default_alias must be one of the model's aliases: ${join(", ", [for name, model in try(merge(var.models), {}) : try("${name} has no alias ${model.default_alias}", name) if try(!contains(keys(model.aliases), model.default_alias), false)])}."
  }

  # With a mounted file system the function must reach more than S3.
  validation {
    condition     = !anytrue([for model in try(values(var.models), []) : try(model.network, null) != null && try(model.file_system, null) != null])
    error_message = "network excludes file_system, whose functions run in vpc in any case: ${join(", ", [for name, model in try(merge(var.models), {}) : name if try(model.network, null) != null && try(model.file_system, null) != null])}."
  }

  validation {
    condition = (var.api == null && var.rest_api == null) || alltrue([
      for model in try(values(var.models), []) : try(model.default_alias, null) != null || try(length(model.aliases) == 1, true)
    ])
    error_message = "A model with several aliases needs default_alias, which answers API paths without a version: ${join(", ", [for name, model in try(merge(var.models), {}) : name if try(model.default_alias, null) == null && try(length(model.aliases) != 1, false)])}."
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

variable "push_models" {
  type        = set(string)
  default     = []
  nullable    = false
  description = "Models that may be pushed besides those in `models`: the output `push_policies` names each model."

  validation {
    condition     = alltrue([for model in var.push_models : can(regex("^[a-z0-9][a-z0-9-]{0,47}$", model))])
    error_message = "push_models must be names of models, 1 to 48 lower-case letters, digits and hyphens, as in [\"churn\"]."
  }
}

variable "vpc" {
  type        = any
  default     = null
  description = "Where functions with a `file_system` or a `network` run; all others run outside of a VPC."

  validation {
    condition = length(setsubtract(try(keys(var.vpc), []), local.attributes.vpc)) == 0
    error_message = "${join(" ", [
      for name in setsubtract(try(keys(var.vpc), []), local.attributes.vpc) :
      contains(keys(local.renamed), "vpc.${name}") ? "vpc.${name} is now ${local.renamed["vpc.${name}"]}." : "vpc has no attribute ${name}."
    ])} The attributes are ${join(", ", local.attributes.vpc)}."
  }

  validation {
    condition     = var.vpc != null || alltrue([for model in try(values(var.models), []) : try(model.file_system, null) == null])
    error_message = "file_system needs vpc, because Lambda mounts a file system only inside a VPC: ${join(", ", [for name, model in try(merge(var.models), {}) : name if try(model.file_system, null) != null])}."
  }

  validation {
    condition     = var.vpc != null || alltrue([for model in try(values(var.models), []) : try(model.network, null) == null])
    error_message = "network needs vpc, whose subnets the function runs in: ${join(", ", [for name, model in try(merge(var.models), {}) : name if try(model.network, null) != null])}."
  }

  validation {
    condition     = try(length(var.vpc.subnets) > 0, true)
    error_message = "vpc.subnets is empty: functions run in these subnets, and the file system has a mount target in each."
  }

  validation {
    condition     = try(length(distinct(values(var.vpc.subnets))) == length(var.vpc.subnets), true)
    error_message = "vpc.subnets has the same subnet under two names: a file system has one mount target in each availability zone."
  }
}

variable "file_system" {
  type        = any
  default     = {}
  nullable    = false
  description = "The file system of all models with `file_system = {}`. This module creates it, unless you give an access point."

  validation {
    condition     = can(keys(var.file_system))
    error_message = "file_system must be an object, as in { kms_key_arn = \"arn:aws:kms:...\" }."
  }

  validation {
    condition = length(setsubtract(concat(try(keys(var.file_system), []), [for name in try(keys(var.file_system.existing), []) : "existing.${name}"]), local.attributes.file_system)) == 0
    error_message = "${join(" ", [
      for name in setsubtract(concat(try(keys(var.file_system), []), [for name in try(keys(var.file_system.existing), []) : "existing.${name}"]), local.attributes.file_system) :
      "file_system has no attribute ${name}."
    ])} The attributes are ${join(", ", local.attributes.file_system)}."
  }
}

variable "api" {
  type        = any
  default     = null
  description = "An HTTP API in front of the functions, `{}` for one with IAM authorization; null for none."

  validation {
    condition = length(setsubtract(flatten([
      try(keys(var.api), []),
      [for part in ["jwt", "cors", "throttle", "domain"] : [for name in try(keys(var.api[part]), []) : "${part}.${name}"]],
    ]), local.attributes.api)) == 0
    error_message = "${join(" ", [
      for name in setsubtract(flatten([
        try(keys(var.api), []),
        [for part in ["jwt", "cors", "throttle", "domain"] : [for name in try(keys(var.api[part]), []) : "${part}.${name}"]],
      ]), local.attributes.api) :
      "api has no attribute ${name}."
    ])} The attributes are ${join(", ", local.attributes.api)}."
  }

  validation {
    condition     = can(tobool(try(var.api.detailed_metrics, null)))
    error_message = "api.detailed_metrics must be true or false."
  }
}

variable "rest_api" {
  type        = any
  default     = null
  description = "A REST API in front of the functions, for API keys, usage plans and WAF, beside the HTTP API or instead of it; null for none."

  validation {
    condition = length(setsubtract(flatten([
      try(keys(var.rest_api), []),
      [for part in ["throttle", "domain", "waf"] : [for name in try(keys(var.rest_api[part]), []) : "${part}.${name}"]],
      [for plan in try(values(var.rest_api.usage_plans), []) : concat(
        [for name in try(keys(plan), []) : "usage_plans.*.${name}"],
        [for name in try(keys(plan.quota), []) : "usage_plans.*.quota.${name}"],
      )],
    ]), local.attributes.rest_api)) == 0
    error_message = "${join(" ", [
      for name in setsubtract(flatten([
        try(keys(var.rest_api), []),
        [for part in ["throttle", "domain", "waf"] : [for name in try(keys(var.rest_api[part]), []) : "${part}.${name}"]],
        [for plan in try(values(var.rest_api.usage_plans), []) : concat(
          [for name in try(keys(plan), []) : "usage_plans.*.${name}"],
          [for name in try(keys(plan.quota), []) : "usage_plans.*.quota.${name}"],
        )],
      ]), local.attributes.rest_api) :
      "rest_api has no attribute ${name}."
    ])} The attributes are ${join(", ", local.attributes.rest_api)}."
  }

  validation {
    condition     = try(var.rest_api.authorization, null) != "NONE" || try(var.rest_api.usage_plans, null) != null
    error_message = "rest_api.authorization is NONE without usage_plans. Give usage_plans whose keys callers need, or usage_plans = {} for an API that is open to everyone."
  }

  validation {
    condition     = try(var.rest_api.domain.name != var.api.domain.name, true)
    error_message = "api and rest_api have the same domain.name, but a domain belongs to one API. Give each its own."
  }

  validation {
    condition     = alltrue([for plan in try(values(var.rest_api.usage_plans), []) : can(keys(plan))])
    error_message = "A usage plan must be an object with requests_per_second and burst. Change rest_api.usage_plans.${join(", ", [for name, plan in try(merge(var.rest_api.usage_plans), {}) : name if !can(keys(plan))])}."
  }

  validation {
    condition     = can(tobool(try(var.rest_api.access_log, null)))
    error_message = "rest_api.access_log must be true or false."
  }

  validation {
    condition     = can(tobool(try(var.rest_api.detailed_metrics, null)))
    error_message = "rest_api.detailed_metrics must be true or false."
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

variable "reconcile_interval_minutes" {
  type        = number
  default     = 5
  nullable    = false
  description = "How often the releaser reconciles all aliases, in case an event was lost; 1 to 1,440."
}

variable "full_reconcile_interval_minutes" {
  type        = number
  default     = 60
  nullable    = false
  description = "How often the releaser compares each alias with Lambda, which finds changes made by hand; 5 to 1,440. The other reconciliations read only the registry."
}

variable "releaser_reserved_concurrency" {
  type        = number
  default     = null
  description = "How many invocations of the releaser run at the same time at most; null reserves none. A limit keeps a flood of events from using the account's concurrency."
}

variable "log_retention_days" {
  type        = number
  default     = 30
  nullable    = false
  description = "How many days logs are kept; one of the periods that CloudWatch offers."
}

variable "alarm_topic_arn" {
  type        = string
  default     = null
  description = "SNS topic that is notified when releases fail and when they succeed again."
}

variable "permissions_boundary_arn" {
  type        = string
  default     = null
  description = "Permissions boundary of all roles."
}

variable "role_name_prefix" {
  type        = string
  default     = ""
  nullable    = false
  description = "Prefix of the names of all roles that this module creates. Changing it replaces them."
}

variable "control_roles" {
  type        = any
  default     = {}
  nullable    = false
  description = "Roles that exist, for the releaser, the stager and the catalog. Each needs the policy in the output `role_policies`. A model's own is its `role`."

  validation {
    condition     = can(keys(var.control_roles))
    error_message = "control_roles must be an object, as in { releaser = { arn = \"arn:aws:iam::...\" } }."
  }

  validation {
    condition = length(setsubtract(flatten([
      try(keys(var.control_roles), []), [for key, role in try(merge(var.control_roles), {}) : [for name in try(keys(role), []) : "${key}.${name}"]],
    ]), local.attributes.control_roles)) == 0
    error_message = "control_roles has no attribute ${join(", ", setsubtract(flatten([
      try(keys(var.control_roles), []), [for key, role in try(merge(var.control_roles), {}) : [for name in try(keys(role), []) : "${key}.${name}"]],
    ]), local.attributes.control_roles))}. The attributes are ${join(", ", local.attributes.control_roles)}."
  }
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of everything that can have tags, except for objects in S3."

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(lower(key), "aws:")])
    error_message = "A tag's key must not begin with aws:, which AWS keeps for itself. Rename ${join(", ", [for key in keys(var.tags) : key if startswith(lower(key), "aws:")])}."
  }
}

variable "kms" {
  type        = any
  default     = {}
  nullable    = false
  description = "Keys that encrypt logs, environment variables and the dead-letter queue; AWS's own keys otherwise. `registry` and `file_system` have their keys."

  validation {
    condition     = can(keys(var.kms))
    error_message = "kms must be an object, as in { logs_key_arn = \"arn:aws:kms:...\" }."
  }

  validation {
    condition     = length(setsubtract(try(keys(var.kms), []), local.attributes.kms)) == 0
    error_message = "kms has no attribute ${join(", ", setsubtract(try(keys(var.kms), []), local.attributes.kms))}. The attributes are ${join(", ", local.attributes.kms)}."
  }

  validation {
    condition     = alltrue([for key in try(values(var.kms), []) : key == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", key))])
    error_message = "The attributes of kms must be ARNs of keys, as in arn:aws:kms:eu-central-1:123456789012:key/...: IAM grants permissions on keys, not on their aliases. Change ${join(", ", [for name, key in try(merge(var.kms), {}) : "kms.${name}" if key != null && !can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/", key))])}."
  }
}

variable "log_level" {
  type        = string
  default     = null
  description = "Least level of the functions' logs: `DEBUG`, `INFO` or `WARN`; null leaves it to Lambda. `WARN` drops Lambda's own lines about each request; the metrics are lines of the level `INFO` and stay."
}

variable "tracing" {
  type        = string
  default     = "PassThrough"
  nullable    = false
  description = "Whether X-Ray traces requests: `Active`, or `PassThrough` for those that their caller traces."
}

variable "code_signing_config_arn" {
  type        = string
  default     = null
  description = "Code signing configuration of all functions. Lambda then takes only signed packages, which are in S3 already: see `packages`."
}
