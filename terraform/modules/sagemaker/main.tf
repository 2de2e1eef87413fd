# SageMaker endpoints: for each model the role of its containers, and alarms. The
# releaser makes the endpoints, one for each version in use. One module for all models, as for jobs.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "sagemaker" {
  service_id = "sagemaker"
}

locals {
  partition  = data.aws_partition.current.partition
  region     = data.aws_service.sagemaker.region
  account_id = data.aws_caller_identity.current.account_id
  place      = "${local.region}:${local.account_id}"

  # The registry of the image, its repository and its digest.
  images = {
    for model, each in var.models : model => regex(
      "^(?P<account>[0-9]{12})\\.dkr[.-]ecr(?:-fips)?\\.(?P<region>[a-z0-9-]+)\\.[a-z0-9.]+/(?P<repository>[^@:]+)@", each.image_uri,
    )
  }

  endpoints = {
    for model, each in var.models : model => {
      role_arn           = each.role == null ? aws_iam_role.endpoint[model].arn : each.role.arn
      image_uri          = each.image_uri
      instance_type      = each.instance_type
      instances          = local.instances[model]
      serverless         = each.serverless
      keep_minutes       = each.keep_minutes
      calls_uri          = each.calls_uri
      startup_seconds    = each.startup_seconds
      subnet_ids         = one(each.vpc[*].subnet_ids)
      security_group_ids = one(each.vpc[*].security_group_ids)
      kms_key_arn        = each.kms_key_arn
      log_retention_days = var.log_retention_days
      log_key_arn        = var.logs_key_arn
      environment = merge(
        each.environment,
        { SHEARLING_REGISTRY = var.registry.uri },
        var.registry.region == null ? {} : { SHEARLING_REGISTRY_REGION = var.registry.region },
        each.calls_uri == null ? {} : { SHEARLING_TIMEOUT_SECONDS = "900" }, # of a request, as the function asks for
        each.allow_pickle ? { SHEARLING_ALLOW_PICKLE = "true" } : {},
      )
    }
  }

  instances = {
    for model, each in var.models : model => each.serverless != null ? null : {
      min    = try(each.instances.min, 1)
      max    = try(max(1, coalesce(each.instances.max, each.instances.min)), 1)
      target = try(coalesce(each.instances.target), try(each.instances.min == 0, false) ? 5 : 600) # calls that wait for an instance, or calls a minute and instance
    }
  }

  targets = merge([
    for model, each in var.models : {
      for alias in each.aliases : "${model}:${alias}" => { function_name = each.function_name, alias = alias }
    }
  ]...)
}

# As the function's callers see it, whichever endpoint the alias names: every version has another, with metrics of its own.
resource "aws_cloudwatch_metric_alarm" "errors" {
  for_each = local.targets

  alarm_name          = "${each.value.function_name}-${each.value.alias}-endpoint-errors"
  alarm_description   = "The endpoint behind ${each.key} has failed, throttled or not answered requests for 15 minutes. Read its log, /aws/sagemaker/Endpoints/${each.value.function_name}-..., or roll back."
  namespace           = "Shearling"
  metric_name         = "ServerErrors"
  dimensions          = { function_name = each.value.function_name, alias = each.value.alias }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
  tags                = var.tags
}
