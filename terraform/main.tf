# Models on Lambda: a registry in S3, a function for each model, the releaser that moves their aliases, and an API.

locals {
  # A path stands for { path = ... }: after that, all packages have one type. Not by `try`, whose result is unknown if any
  # attribute is, as the hash of an object that the same apply uploads.
  packages = merge(
    { for kind, package in var.packages : kind => package if can(package.key) || can(package.path) },
    { for kind, package in var.packages : kind => { path = package } if !(can(package.key) || can(package.path)) },
  )
  models = {
    for name, model in var.models : name => merge(model, {
      package = one(concat(
        [for key, value in model : value if key == "package" && (can(value.key) || can(value.path))],
        [for key, value in model : { path = value } if key == "package" && value != null && !(can(value.key) || can(value.path))],
      ))
    })
  }
}

module "inputs" {
  source = "./modules/inputs"

  packages    = local.packages
  models      = local.models
  registry    = var.registry
  vpc         = var.vpc
  file_system = var.file_system
  api         = var.api
  rest_api    = var.rest_api

  event_bucket     = var.event_bucket
  image_repository = var.image_repository
  batch            = var.batch

  kms           = var.kms
  control_roles = var.control_roles
}

module "registry" {
  source = "./modules/registry"

  name                  = var.name
  bucket                = module.inputs.registry.bucket
  region                = module.inputs.registry.region
  packages_bucket       = module.inputs.registry.packages_bucket
  accounts              = module.inputs.registry.accounts
  prefix                = module.inputs.registry.prefix
  kms_key_arn           = module.inputs.registry.kms_key_arn
  previous_kms_key_arns = module.inputs.registry.previous_kms_key_arns
  force_destroy         = module.inputs.registry.force_destroy
  packages              = local.package_paths
  push_models           = setunion(keys(module.inputs.models), var.push_models)
  aliases               = { for name, model in module.inputs.models : name => keys(model.aliases) }
  access_log            = module.inputs.registry.access_log
  tags                  = var.tags
}

locals {
  given_packages = merge(
    { for kind, package in module.inputs.packages : kind => package },
    { for name, model in module.inputs.models : "models/${name}" => model.package if model.package != null },
  )
  package_paths = toset(compact([for package in values(local.given_packages) : package.path]))

  # Where the code of each kind of function is, and of each model with a package of its own.
  function_packages = {
    for name, package in local.given_packages : name => package.path == null ? {
      bucket           = package.bucket
      key              = package.key
      source_code_hash = package.source_code_hash
    } : module.registry.packages[package.path]
  }

  # What all functions have in common.
  options = {
    tags                    = var.tags
    role_name_prefix        = var.role_name_prefix
    logs_key_arn            = module.inputs.kms.logs_key_arn
    environment_key_arn     = module.inputs.kms.environment_key_arn
    log_level               = var.log_level
    tracing                 = var.tracing
    code_signing_config_arn = var.code_signing_config_arn
  }

  # Models that are read from the file system, and models that run in the VPC without one.
  efs_models     = toset([for name, model in module.inputs.models : name if model.file_system != null])
  network_models = toset([for name, model in module.inputs.models : name if model.network != null])

  # The model's only alias, unless the input names one. Null is refused where an API needs one.
  default_aliases = {
    for name, model in module.inputs.models : name => (
      model.default_alias == null && length(model.aliases) == 1 ? keys(model.aliases)[0] : model.default_alias
    )
  }
}

# Created if a model runs in the VPC.
module "network" {
  source = "./modules/network"
  count  = length(setunion(local.efs_models, local.network_models)) > 0 ? 1 : 0

  name     = var.name
  vpc      = module.inputs.vpc
  registry = module.registry.registry
  s3_only  = length(local.network_models) > 0
  written = distinct(concat(
    [for name in local.network_models : module.jobs[0].bucket_arns[name] if contains(keys(local.job_models), name)],
    flatten([
      for event in values(local.events) : [
        for place in [event.source, event.output] : "arn:${data.aws_partition.current.partition}:s3:::${place.bucket}"
      ] if contains(local.network_models, event.model)
    ]),
    length(setintersection(local.network_models, keys(local.batch_models))) == 0 ? [] : module.batch[0].bucket_arns,
  ))
  tags = var.tags
}

# Created if a model asks for it.
module "file_system" {
  source = "./modules/file-system"
  count  = length(local.efs_models) > 0 ? 1 : 0

  name                     = "${var.name}-models"
  vpc                      = { vpc_id = module.inputs.vpc.vpc_id, subnets = module.network[0].subnets } # S3 is reached already
  existing                 = module.inputs.file_system.existing
  kms_key_arn              = module.inputs.file_system.kms_key_arn
  stager_name              = "${var.name}_stager"
  stager_memory_mb         = module.inputs.file_system.stager_memory_mb
  registry                 = module.registry.registry
  package                  = local.function_packages["control"]
  python                   = var.python
  architecture             = var.architecture
  releaser_arn             = module.releaser.function_arn
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  stager_role              = module.inputs.control_roles.stager
  options                  = local.options
}

locals {
  # Where functions run. At plan only the IDs of the security groups are unknown, not whether there is a VPC.
  vpc_configs = merge(
    {
      for name in local.efs_models : name => {
        subnet_ids         = values(module.inputs.vpc.subnets)
        security_group_ids = [module.file_system[0].security_group_id]
      }
    },
    {
      for name in local.network_models : name => {
        subnet_ids         = values(module.network[0].subnets)
        security_group_ids = coalesce(module.inputs.models[name].network.security_group_ids, [module.network[0].security_group_id])
      }
    },
  )
}

module "function" {
  source   = "./modules/function"
  for_each = module.inputs.models

  name                     = "${var.name}-${each.key}"
  registry                 = module.registry.registry
  package                  = each.value.image_uri == null ? local.function_packages[each.value.package == null ? "runtime" : "models/${each.key}"] : null
  image_uri                = each.value.image_uri
  aliases                  = each.value.aliases
  python                   = coalesce(each.value.python, var.python)
  architecture             = coalesce(each.value.architecture, var.architecture)
  memory_mb                = each.value.memory_mb
  timeout_seconds          = each.value.timeout_seconds
  ephemeral_storage_mb     = each.value.ephemeral_storage_mb
  reserved_concurrency     = each.value.reserved_concurrency
  snap_start               = each.value.snap_start
  allow_pickle             = each.value.allow_pickle
  endpoint_name            = each.value.endpoint_name
  has_endpoints            = each.value.sagemaker != null
  endpoint_calls_uri       = lookup(local.endpoint_calls, each.key, null)
  environment              = each.value.environment
  vpc                      = each.value.file_system == null && each.value.network == null ? null : local.vpc_configs[each.key]
  file_system              = each.value.file_system == null ? null : { access_point_arn = module.file_system[0].access_point_arn }
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  role                     = each.value.role
  policy_statements = concat(
    try(module.events[0].policy_statements[each.key], []),
    try(module.jobs[0].policy_statements[each.key], []),
    [for statement in try(module.batch[0].policy_statements, []) : statement if contains(keys(local.batch_models), each.key)],
  )
  jobs    = each.value.jobs == null ? null : { bucket = module.jobs[0].buckets[each.key], keep_days = each.value.jobs.keep_days }
  options = local.options
}

module "catalog" {
  source = "./modules/catalog"
  count  = var.api == null && var.rest_api == null ? 0 : 1

  name                     = "${var.name}_index"
  registry                 = module.registry.registry
  package                  = local.function_packages["control"]
  releaser_name            = "${var.name}_releaser"
  function_names           = [for name in keys(module.inputs.models) : "${var.name}-${name}"]
  python                   = var.python
  architecture             = var.architecture
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  role                     = module.inputs.control_roles.catalog
  options                  = local.options
}

locals {
  # The input `models` of both APIs. With names instead of references, because Terraform extends `create_before_destroy` of an
  # API's deployment to all that it refers to: a file system with a new key would be created while the old one still has
  # its creation token, which EFS refuses.
  api_models = {
    for name, model in module.inputs.models : name => {
      function_name     = "${var.name}-${name}"
      alias_invoke_arns = { for alias in keys(model.aliases) : alias => format(local.invoke_arn, "${var.name}-${name}:${alias}") }
      default_alias     = local.default_aliases[name]
    }
  }
  api_catalog = {
    function_name = "${var.name}_index"
    invoke_arn    = format(local.invoke_arn, "${var.name}_index")
  }

  # Known in every plan: an API with unknown routes gets a new deployment.
  place = module.releaser.place
  invoke_arn = join(":", [
    "arn", local.place.partition, "apigateway", local.place.region, "lambda", "path/2015-03-31/functions/arn", local.place.partition,
    "lambda", local.place.region, local.place.account, "function", "%s/invocations",
  ])
}

module "api" {
  source = "./modules/api"
  count  = var.api == null ? 0 : 1

  name               = var.name
  models             = local.api_models
  catalog            = local.api_catalog
  functions          = [module.function, module.catalog]
  authorization      = module.inputs.api.authorization
  jwt                = module.inputs.api.jwt
  cors               = module.inputs.api.cors
  throttle           = module.inputs.api.throttle
  domain             = module.inputs.api.domain
  log_retention_days = var.log_retention_days
  detailed_metrics   = module.inputs.api.detailed_metrics
  logs_key_arn       = module.inputs.kms.logs_key_arn
  tags               = var.tags
}

module "rest_api" {
  source = "./modules/rest-api"
  count  = var.rest_api == null ? 0 : 1

  name               = var.name
  models             = local.api_models
  catalog            = local.api_catalog
  functions          = [module.function, module.catalog]
  authorization      = module.inputs.rest_api.authorization
  usage_plans        = coalesce(module.inputs.rest_api.usage_plans, {})
  throttle           = module.inputs.rest_api.throttle
  timeout_seconds    = module.inputs.rest_api.timeout_seconds
  stage              = module.inputs.rest_api.stage
  domain             = module.inputs.rest_api.domain
  waf                = module.inputs.rest_api.waf
  log_retention_days = module.inputs.rest_api.access_log ? var.log_retention_days : null
  detailed_metrics   = module.inputs.rest_api.detailed_metrics
  logs_key_arn       = module.inputs.kms.logs_key_arn
  tracing            = var.tracing
  tags               = var.tags
}

module "releaser" {
  source = "./modules/releaser"

  name                       = "${var.name}_releaser"
  registry                   = module.registry.registry
  package                    = local.function_packages["control"]
  python                     = var.python
  architecture               = var.architecture
  reconcile_interval_minutes = var.reconcile_interval_minutes

  full_reconcile_interval_minutes = var.full_reconcile_interval_minutes
  reserved_concurrency            = var.releaser_reserved_concurrency
  api_url                         = try(concat(module.api[*].url, module.rest_api[*].url)[0], null)

  functions = {
    for name in keys(module.inputs.models) : name => {
      name            = module.function[name].function_name
      aliases         = keys(module.function[name].alias_arns)
      python          = coalesce(module.inputs.models[name].python, var.python)
      release_trigger = module.function[name].release_trigger
      events          = keys(module.inputs.models[name].events)
      file_system     = contains(local.efs_models, name) ? { access_point_arn = module.file_system[0].access_point_arn } : null
      sagemaker       = contains(keys(local.endpoint_models), name) ? module.sagemaker[0].endpoints[name] : null
      batch           = contains(keys(local.batch_models), name) ? module.batch[0].state_machine_arn : null
    }
  }
  endpoint_prefix = "${var.name}-"

  stager = length(local.efs_models) == 0 ? null : {
    name = module.file_system[0].stager_name
    arn  = module.file_system[0].stager_arn
  }

  log_retention_days       = var.log_retention_days
  alarm_topic_arn          = var.alarm_topic_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  role                     = module.inputs.control_roles.releaser
  queue_key_arn            = module.inputs.kms.queue_key_arn
  options                  = local.options
}

# Terraform destroys this invocation before anything else, because it depends on everything: the releaser then refuses if
# the bucket would have to be deleted with models in it. S3 refuses that too, but only after all else is gone.
resource "aws_lambda_invocation" "destroy_guard" {
  count = module.registry.is_created ? 1 : 0

  function_name   = module.releaser.function_name
  input           = jsonencode({ shearling = "guard", force_destroy = module.inputs.registry.force_destroy })
  lifecycle_scope = "CRUD"

  depends_on = [
    module.registry,
    module.file_system,
    module.function,
    module.catalog,
    module.api,
    module.rest_api,
    module.releaser,
    module.events,
    module.jobs,
    module.sagemaker,
    module.batch,
  ]
}

locals {
  # A model with events, jobs or batch runs may need more time for them than any API waits. Its function tells callers of an API
  # so, by a 504.
  timeouts = {
    for name, model in module.inputs.models : name => model.timeout_seconds
    if length(model.events) == 0 && model.jobs == null && !contains(keys(local.batch_models), name)
  }

  slower_than_api = var.api == null ? {} : { for name, seconds in local.timeouts : name => seconds if seconds > 30 }

  # The default timeout of 30 is a second more than a REST API waits, which needs no warning.
  slower_than_rest_api = var.rest_api == null ? {} : {
    for name, seconds in local.timeouts : name => seconds if seconds > module.inputs.rest_api.timeout_seconds + 1
  }
}

check "api_timeout" {
  assert {
    condition = length(local.slower_than_api) == 0
    error_message = "The HTTP API answers 503 after 30 seconds, even if the function still runs: ${join(", ", [
      for name, seconds in local.slower_than_api : "${name} has timeout_seconds = ${seconds}"
    ])}. A direct invocation waits for the function, and so does an asynchronous job (jobs = {})."
  }
}

check "vpc_is_used" {
  assert {
    condition     = var.vpc == null || length(setunion(local.efs_models, local.network_models)) > 0
    error_message = "vpc has no effect: it is for models with a file_system or a network, and no model has one."
  }
}

check "rest_api_timeout" {
  assert {
    condition = length(local.slower_than_rest_api) == 0
    error_message = "The REST API answers 504 after its own timeout_seconds, even if the function still runs: ${join(", ", [
      for name, seconds in local.slower_than_rest_api : "${name} has timeout_seconds = ${seconds}"
    ])}. A direct invocation waits for the function, and so does an asynchronous job (jobs = {})."
  }
}
