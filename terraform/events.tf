# Objects in, objects out: the events of all models, and the bucket of those that name none.

locals {
  # An event without a bucket reads or writes the bucket that this module creates, with its key.
  event_place = {
    bucket      = one(module.event_bucket[*].bucket)
    kms_key_arn = module.inputs.event_bucket.kms_key_arn
  }

  events = merge([
    for name, model in module.inputs.models : {
      for event, attributes in model.events : "${name}:${event}" => {
        model                = name
        event                = event
        alias                = attributes.alias == null ? coalesce(local.default_aliases[name], "?") : attributes.alias
        aliases              = keys(model.aliases)
        function_name        = "${var.name}-${name}"
        timeout_seconds      = model.timeout_seconds
        reserved_concurrency = model.reserved_concurrency
        source               = merge(attributes.source, [for place in [local.event_place] : place if attributes.source.bucket == null]...)
        output               = merge(attributes.output, [for place in [local.event_place] : place if attributes.output.bucket == null]...)
        options = {
          on_bad_rows  = attributes.on_bad_rows
          keep_columns = attributes.keep_columns
          header       = attributes.source.header
        }
        max_concurrency = attributes.max_concurrency
        max_attempts    = attributes.max_attempts
        max_age_minutes = attributes.max_age_minutes
      }
    }
  ]...)

  event_buckets = flatten([
    for model in values(module.inputs.models) : [for event in values(model.events) : [event.source.bucket, event.output.bucket]]
  ])
}

# Created if an event names no bucket.
module "event_bucket" {
  source = "./modules/bucket"
  count  = anytrue([for bucket in local.event_buckets : bucket == null]) ? 1 : 0

  name          = var.name
  purpose       = "io"
  kms_key_arn   = module.inputs.event_bucket.kms_key_arn
  expire_days   = module.inputs.event_bucket.expire_days
  force_destroy = module.inputs.event_bucket.force_destroy
  tags          = var.tags
}

module "events" {
  source = "./modules/events"
  count  = length(local.events) > 0 ? 1 : 0

  events          = local.events
  alias_arns      = { for key, alias in local.aliases : key => alias.arn }
  registry        = module.registry.registry
  queue_key_arn   = module.inputs.kms.queue_key_arn
  alarm_topic_arn = var.alarm_topic_arn
  tags            = var.tags
}
