# Asynchronous jobs, for models that have them.

locals {
  job_models = { for name, model in module.inputs.models : name => model if model.jobs != null }
}

module "jobs" {
  source = "./modules/jobs"
  count  = length(local.job_models) > 0 ? 1 : 0

  models = {
    for name, model in local.job_models : name => merge(model.jobs, {
      function_name        = "${var.name}-${name}"
      aliases              = keys(model.aliases)
      timeout_seconds      = model.timeout_seconds
      reserved_concurrency = model.reserved_concurrency
    })
  }
  alias_arns      = { for key, alias in local.aliases : key => alias.arn }
  queue_key_arn   = module.inputs.kms.queue_key_arn
  alarm_topic_arn = var.alarm_topic_arn
  tags            = var.tags
}
