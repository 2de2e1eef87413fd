# Models on Lambda: a registry in S3, a function per model, the releaser that moves their aliases, and an API in front.

module "registry" {
  source = "./modules/registry"

  name                = var.name
  bucket              = var.registry.bucket
  prefix              = var.registry.prefix
  kms_key_arn         = var.registry.kms_key_arn
  former_kms_key_arns = var.registry.former_kms_key_arns
  force_destroy       = var.registry.force_destroy
  packages            = setunion(values(var.packages), compact([for model in values(var.models) : model.package]))
  aliases             = { for name, model in var.models : name => keys(model.aliases) }
}

locals {
  registry = {
    bucket              = module.registry.bucket
    prefix              = var.registry.prefix
    kms_key_arn         = var.registry.kms_key_arn
    former_kms_key_arns = var.registry.former_kms_key_arns
  }

  # Models that are read from the file system.
  mounted = toset([for name, model in var.models : name if model.file_system != null])

  # The only alias, unless one is named. Null is refused where there is an API to need one.
  default_aliases = {
    for name, model in var.models : name => (
      model.default_alias == null && length(model.aliases) == 1 ? keys(model.aliases)[0] : model.default_alias
    )
  }
}

# Created for the first model that asks for it.
module "file_system" {
  source = "./modules/file-system"
  count  = length(local.mounted) > 0 ? 1 : 0

  name             = "${var.name}-models"
  network          = var.network
  existing         = var.file_system.existing
  kms_key_arn      = var.file_system.kms_key_arn
  writer_role_arns = [module.stager[0].role_arn] # by index: the splat would wait for all of the module, and so for itself
}

locals {
  # Where functions with a file system stand. Only the ID of the group is unknown at plan, not whether there is a network.
  inside = length(local.mounted) == 0 ? null : {
    subnet_ids         = var.network.subnet_ids
    security_group_ids = [module.file_system[0].security_group_id]
  }
}

module "stager" {
  source = "./modules/stager"
  count  = length(local.mounted) > 0 ? 1 : 0

  name                     = "${var.name}_stager"
  registry                 = local.registry
  package                  = module.registry.packages[var.packages.control]
  python                   = var.python
  unsupported_python       = var.unsupported_python
  architecture             = var.architecture
  memory_mb                = var.file_system.stager_memory_mb
  network                  = local.inside
  file_system              = { access_point_arn = module.file_system[0].access_point_arn }
  releaser_arn             = module.releaser.function_arn
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "function" {
  source   = "./modules/function"
  for_each = var.models

  name                     = "${var.name}-${each.key}"
  registry                 = local.registry
  package                  = module.registry.packages[coalesce(each.value.package, var.packages.runtime)]
  aliases                  = each.value.aliases
  python                   = coalesce(each.value.python, var.python)
  unsupported_python       = var.unsupported_python
  architecture             = coalesce(each.value.architecture, var.architecture)
  memory_mb                = each.value.memory_mb
  timeout_seconds          = each.value.timeout_seconds
  ephemeral_storage_mb     = each.value.ephemeral_storage_mb
  reserved_concurrency     = each.value.reserved_concurrency
  snap_start               = each.value.snap_start
  allow_pickle             = each.value.allow_pickle
  environment              = each.value.environment
  network                  = each.value.file_system == null ? null : local.inside
  file_system              = each.value.file_system == null ? null : { access_point_arn = module.file_system[0].access_point_arn }
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

module "index" {
  source = "./modules/index"
  count  = var.api == null && var.rest_api == null ? 0 : 1

  name                     = "${var.name}_index"
  registry                 = local.registry
  package                  = module.registry.packages[var.packages.control]
  releaser_name            = "${var.name}_releaser"
  function_names           = [for name in keys(var.models) : "${var.name}-${name}"]
  python                   = var.python
  unsupported_python       = var.unsupported_python
  architecture             = var.architecture
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
}

locals {
  # What the APIs serve.
  served = {
    for name, model in var.models : name => {
      function_name     = module.function[name].function_name
      alias_invoke_arns = module.function[name].alias_invoke_arns
      default_alias     = local.default_aliases[name]
    }
  }
  index = one([for index in module.index : { function_name = index.function_name, invoke_arn = index.invoke_arn }])
}

module "api" {
  source = "./modules/api"
  count  = var.api == null ? 0 : 1

  name               = var.name
  models             = local.served
  index              = local.index
  authorization      = var.api.authorization
  jwt                = var.api.jwt
  cors               = var.api.cors
  throttle           = var.api.throttle
  domain             = var.api.domain
  log_retention_days = var.log_retention_days
}

module "rest_api" {
  source = "./modules/rest-api"
  count  = var.rest_api == null ? 0 : 1

  name               = var.name
  models             = local.served
  index              = local.index
  authorization      = var.rest_api.authorization
  usage_plans        = coalesce(var.rest_api.usage_plans, {})
  throttle           = var.rest_api.throttle
  timeout_seconds    = var.rest_api.timeout_seconds
  stage              = var.rest_api.stage
  domain             = var.rest_api.domain
  waf                = var.rest_api.waf
  log_retention_days = var.rest_api.access_log ? var.log_retention_days : null
}

module "releaser" {
  source = "./modules/releaser"

  name               = "${var.name}_releaser"
  registry           = local.registry
  package            = module.registry.packages[var.packages.control]
  python             = var.python
  unsupported_python = var.unsupported_python
  architecture       = var.architecture
  sweep_minutes      = var.sweep_minutes
  api_url            = try(concat(module.api[*].url, module.rest_api[*].url)[0], null)

  functions = {
    for name in keys(var.models) : name => {
      name               = module.function[name].function_name
      aliases            = keys(module.function[name].alias_arns)
      python             = coalesce(var.models[name].python, var.python)
      configuration_hash = module.function[name].configuration_hash
      file_system        = contains(local.mounted, name) ? { access_point_arn = module.file_system[0].access_point_arn } : null
    }
  }

  stager = length(local.mounted) == 0 ? null : {
    name = module.stager[0].function_name
    arn  = module.stager[0].function_arn
  }

  log_retention_days       = var.log_retention_days
  alarm_topic_arn          = var.alarm_topic_arn
  permissions_boundary_arn = var.permissions_boundary_arn
}

# Destroyed first, for it depends on everything: then the releaser refuses, if the bucket would have to go with models in
# it. S3 refuses that too, but last, when the bucket stands there without its policy and everything else is gone.
resource "aws_lambda_invocation" "guard" {
  count = var.registry.bucket == null ? 1 : 0

  function_name   = module.releaser.function_name
  input           = jsonencode({ shearling = "guard", force_destroy = var.registry.force_destroy })
  lifecycle_scope = "CRUD"

  depends_on = [
    module.registry,
    module.file_system,
    module.stager,
    module.function,
    module.index,
    module.api,
    module.rest_api,
    module.releaser,
  ]
}

check "api_timeout" {
  assert {
    condition = var.api == null || alltrue([for model in values(var.models) : model.timeout_seconds <= 30])
    error_message = "The API answers 503 after 30 seconds, however long the function goes on: ${join(", ", [
      for name, model in var.models : "${name} has timeout_seconds = ${model.timeout_seconds}" if model.timeout_seconds > 30
    ])}. Direct invocation waits as long as the function."
  }
}

check "network_is_used" {
  assert {
    condition     = var.network == null || length(local.mounted) > 0
    error_message = "network is for models with a file_system, and there is none: no function stands in it."
  }
}

locals {
  # The default of 30 is a second more than what a REST API waits: nothing to warn everybody of.
  slower_than_rest_api = var.rest_api == null ? {} : {
    for name, model in var.models : name => model.timeout_seconds if model.timeout_seconds > var.rest_api.timeout_seconds + 1
  }
}

check "rest_api_timeout" {
  assert {
    condition = length(local.slower_than_rest_api) == 0
    error_message = "The REST API answers 504 when its own timeout_seconds are over, however long the function goes on: ${join(", ", [
      for name, seconds in local.slower_than_rest_api : "${name} has timeout_seconds = ${seconds}"
    ])}. Direct invocation waits as long as the function."
  }
}
