# The models, and what a model may look like.

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
        [for part in ["role", "network", "package", "file_system", "jobs", "sagemaker"] : [for name in try(keys(model[part]), []) : "${part}.${name}"]],
        [for part in ["instances", "serverless", "role"] : [for name in try(keys(model.sagemaker[part]), []) : "sagemaker.${part}.${name}"]],
        [for event in try(values(model.events), []) : [
          [for name in try(keys(event), []) : "events.*.${name}"],
          [for part in ["source", "output"] : [for name in try(keys(event[part]), []) : "events.*.${part}.${name}"]],
        ]],
      ]
    ]), local.attributes.models)) == 0
    error_message = "${join(" ", flatten([
      for key, model in try(merge(var.models), {}) : [
        [for name in try(keys(model), []) : "The model ${key} has no attribute ${name}." if !contains(local.attributes.models, name)],
        [
          for part in ["role", "network", "package", "file_system", "jobs", "sagemaker"] : [
            for name in try(keys(model[part]), []) : "The model ${key} has no attribute ${part}.${name}."
            if !contains(local.attributes.models, "${part}.${name}")
          ]
        ],
        [
          for part in ["instances", "serverless", "role"] : [
            for name in try(keys(model.sagemaker[part]), []) : "The model ${key} has no attribute sagemaker.${part}.${name}."
            if !contains(local.attributes.models, "sagemaker.${part}.${name}")
          ]
        ],
        try([
          for alias, attributes in model.aliases : [
            for name in try(keys(attributes), []) : "The alias ${key}:${alias} has no attribute ${name}." if name != "provisioned_concurrency"
          ]
        ], []),
        try([
          for event, attributes in model.events : [
            [for name in try(keys(attributes), []) : "The event ${key}:${event} has no attribute ${name}." if !contains(local.attributes.models, "events.*.${name}")],
            [
              for part in ["source", "output"] : [
                for name in try(keys(attributes[part]), []) : "The event ${key}:${event} has no attribute ${part}.${name}."
                if !contains(local.attributes.models, "events.*.${part}.${name}")
              ]
            ],
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
    condition     = !anytrue([for model in try(values(var.models), []) : try(model.image_uri, null) != null && try(model.package, null) != null])
    error_message = "image_uri stands in place of package: leave out one of them for ${join(", ", [for name, model in try(merge(var.models), {}) : name if try(model.image_uri, null) != null && try(model.package, null) != null])}."
  }

  validation {
    condition     = alltrue(flatten([for model in try(values(var.models), []) : [for alias in try(values(model.aliases), []) : alias != null]]))
    error_message = "An alias must be an object, {} for one without attributes. Change ${join(", ", flatten([for key, model in try(merge(var.models), {}) : try([for name, alias in model.aliases : "${key}:${name}" if alias == null], [])]))}."
  }

  validation {
    condition = alltrue(flatten([
      for model in try(values(var.models), []) : [for event in try(values(model.events), []) : can(keys(event)) && can(keys(event.output))]
    ]))
    error_message = "An event must be an object with an output, as in events = { incoming = { source = { prefix = \"incoming/\" }, output = { prefix = \"scored/\" } } }. Change ${join(", ", flatten([for key, model in try(merge(var.models), {}) : try([for name, event in model.events : "${key}:${name}" if !(can(keys(event)) && can(keys(event.output)))], [])]))}."
  }

  validation {
    condition     = alltrue([for model in try(values(var.models), []) : try(model.jobs, null) == null || can(keys(model.jobs))])
    error_message = "jobs of a model must be an object, {} for the defaults, or null for none. Change ${join(", ", [for name, model in try(merge(var.models), {}) : name if !(try(model.jobs, null) == null || can(keys(model.jobs)))])}."
  }

  validation {
    condition     = alltrue([for model in try(values(var.models), []) : try(model.sagemaker, null) == null || can(keys(model.sagemaker))])
    error_message = "sagemaker of a model must be an object, as in { image_uri = \"...\", instance_type = \"ml.m5.xlarge\" }, or null for none. Change ${join(", ", [for name, model in try(merge(var.models), {}) : name if !(try(model.sagemaker, null) == null || can(keys(model.sagemaker)))])}."
  }

  # Terraform's own message would not say which model and attribute it means.
  validation {
    condition = alltrue(flatten([
      for model in try(values(var.models), []) : [
        [for name in local.numbers : can(tonumber(model[name])) if can(model[name])],
        [for name in local.bools : can(tobool(model[name])) if can(model[name])],
        [for name in local.job_numbers : can(tonumber(model.jobs[name])) if can(model.jobs[name])],
        [for name in local.endpoint_numbers : can(tonumber(model.sagemaker[name])) if can(model.sagemaker[name])],
        [for part, names in local.endpoint_parts : [for name in names : can(tonumber(model.sagemaker[part][name])) if can(model.sagemaker[part][name])]],
        [for alias in try(values(model.aliases), []) : can(tonumber(alias.provisioned_concurrency)) if can(alias.provisioned_concurrency)],
        [for event in try(values(model.events), []) : [for name in local.event_numbers : can(tonumber(event[name])) if can(event[name])]],
        [for event in try(values(model.events), []) : can(tobool(event.keep_columns)) if can(event.keep_columns)],
      ]
    ]))
    error_message = join(" ", flatten([
      for key, model in try(merge(var.models), {}) : [
        [for name in local.numbers : "${name} of ${key} must be a number." if can(model[name]) && !can(tonumber(model[name]))],
        [for name in local.bools : "${name} of ${key} must be true or false." if can(model[name]) && !can(tobool(model[name]))],
        [for name in local.job_numbers : "jobs.${name} of ${key} must be a number." if can(model.jobs[name]) && !can(tonumber(model.jobs[name]))],
        [for name in local.endpoint_numbers : "sagemaker.${name} of ${key} must be a number." if can(model.sagemaker[name]) && !can(tonumber(model.sagemaker[name]))],
        [
          for part, names in local.endpoint_parts : [
            for name in names : "sagemaker.${part}.${name} of ${key} must be a number."
            if can(model.sagemaker[part][name]) && !can(tonumber(model.sagemaker[part][name]))
          ]
        ],
        try([
          for name, alias in model.aliases : "provisioned_concurrency of ${key}:${name} must be a number."
          if can(alias.provisioned_concurrency) && !can(tonumber(alias.provisioned_concurrency))
        ], []),
        try([
          for event, attributes in model.events : [
            [for name in local.event_numbers : "${name} of the event ${key}:${event} must be a number." if can(attributes[name]) && !can(tonumber(attributes[name]))],
            [for flag in ["keep_columns"] : "${flag} of the event ${key}:${event} must be true or false." if can(attributes[flag]) && !can(tobool(attributes[flag]))],
          ]
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

  # The security group of `network = {}` reaches S3 alone.
  validation {
    condition = !anytrue([
      for model in try(values(var.models), []) : try(model.network, null) != null && try(model.network.security_group_ids, null) == null
      if try(model.endpoint_name, null) != null || try(model.sagemaker, null) != null
    ])
    error_message = join(" ", [
      for name, model in try(merge(var.models), {}) :
      "${try(model.endpoint_name, null) != null ? "endpoint_name" : "sagemaker"} with network needs network.security_group_ids, of groups that reach a VPC endpoint for sagemaker.runtime: ${name}."
      if(try(model.endpoint_name, null) != null || try(model.sagemaker, null) != null) && try(model.network, null) != null && try(model.network.security_group_ids, null) == null
    ])
  }

  validation {
    condition = (var.api == null && var.rest_api == null) || alltrue([
      for model in try(values(var.models), []) : try(model.default_alias, null) != null || try(length(model.aliases) == 1, true)
    ])
    error_message = "A model with several aliases needs default_alias, which answers API paths without a version: ${join(", ", [for name, model in try(merge(var.models), {}) : name if try(model.default_alias, null) == null && try(length(model.aliases) != 1, false)])}."
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
