# SageMaker endpoints for models that have them, and the repository of their image.

locals {
  endpoint_models = { for name, model in module.inputs.models : name => model if model.sagemaker != null }

  # Where calls of asynchronous endpoints are. Of a model without jobs, the module refuses the endpoint.
  endpoint_calls = {
    for name, model in local.endpoint_models : name => "s3://${module.jobs[0].buckets[name]}/calls"
    if try(model.sagemaker.instances.min == 0, false) && model.jobs != null
  }
}

module "sagemaker" {
  source = "./modules/sagemaker"
  count  = length(local.endpoint_models) > 0 ? 1 : 0

  models = {
    for name, model in local.endpoint_models : name => merge(model.sagemaker, {
      function_name   = "${var.name}-${name}"
      aliases         = keys(model.aliases)
      image_uri       = try(coalesce(model.sagemaker.image_uri, var.endpoint_image_uri), null)
      vpc             = model.network == null ? null : local.vpc_configs[name]
      environment     = model.environment
      allow_pickle    = model.allow_pickle
      timeout_seconds = model.timeout_seconds
      excluded = [
        for attribute, is_set in {
          endpoint_name = model.endpoint_name != null
          snap_start    = model.snap_start
          file_system   = model.file_system != null
        } : attribute if is_set
      ]
      has_jobs   = model.jobs != null
      has_events = length(model.events) > 0
      has_batch  = contains(keys(local.batch_models), name)
      calls_uri  = lookup(local.endpoint_calls, name, null)
    })
  }
  function_names           = { for name in keys(local.endpoint_models) : name => "${var.name}-${name}" }
  given_roles              = [for name, model in local.endpoint_models : name if model.sagemaker.role != null]
  registry                 = module.registry.registry
  role_name_prefix         = var.role_name_prefix
  permissions_boundary_arn = var.permissions_boundary_arn
  alarm_topic_arn          = var.alarm_topic_arn
  log_retention_days       = var.log_retention_days
  logs_key_arn             = module.inputs.kms.logs_key_arn
  tags                     = var.tags
}

module "image_repository" {
  source = "./modules/image-repository"
  count  = var.image_repository == null ? 0 : 1

  name          = var.name
  kms_key_arn   = module.inputs.image_repository.kms_key_arn
  keep_images   = module.inputs.image_repository.keep_images
  force_destroy = module.inputs.image_repository.force_destroy
  tags          = var.tags
}
