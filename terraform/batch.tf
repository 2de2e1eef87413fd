# Batch runs, and which models they may use.

locals {
  batch_models = {
    for name, model in module.inputs.models : name => model
    if module.inputs.batch == null ? false : module.inputs.batch.models == null ? true : contains(module.inputs.batch.models, name)
  }
}

module "batch" {
  source = "./modules/batch"
  count  = var.batch == null ? 0 : 1

  name            = var.name
  function_names  = [for name in keys(local.batch_models) : "${var.name}-${name}"]
  sources         = module.inputs.batch.sources
  outputs         = module.inputs.batch.outputs
  max_concurrency = module.inputs.batch.max_concurrency
  source_key_arns = module.inputs.batch.source_key_arns
  output_key_arns = module.inputs.batch.output_key_arns
  registry        = module.registry.registry
  releaser_name   = "${var.name}_releaser"

  package                  = local.function_packages["control"]
  python                   = var.python
  architecture             = var.architecture
  log_retention_days       = var.log_retention_days
  alarm_topic_arn          = var.alarm_topic_arn
  permissions_boundary_arn = var.permissions_boundary_arn
  role                     = module.inputs.control_roles.batch
  planner_role             = module.inputs.control_roles.planner
  options                  = local.options
}

locals {
  # Runs leave a tenth of them to other callers.
  reserved_for_batch = {
    for name, model in local.batch_models : name => model.reserved_concurrency
    if model.reserved_concurrency == null ? false : module.inputs.batch.max_concurrency > model.reserved_concurrency * 0.9
  }

  hasty = { for name, model in local.batch_models : name => model.timeout_seconds if model.timeout_seconds < 120 }
}

check "batch_concurrency" {
  assert {
    condition = length(local.reserved_for_batch) == 0
    error_message = "A run scores fewer parts at the same time than batch.max_concurrency, because it leaves a tenth of reserved_concurrency to other callers: ${join(", ", [
      for name, number in local.reserved_for_batch : "${name} has reserved_concurrency = ${number}"
    ])}."
  }
}

check "batch_timeout" {
  assert {
    condition = length(local.hasty) == 0
    error_message = "A part of a batch run has up to 256 MB, which takes minutes, and a function that is out of time fails the part: ${join(", ", [
      for name, seconds in local.hasty : "${name} has timeout_seconds = ${seconds}"
    ])}. Set timeout_seconds = 900, or name the models that runs use in batch.models."
  }
}
