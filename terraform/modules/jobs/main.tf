# Asynchronous jobs: for each model a bucket with their bodies and results, and for each of its aliases a queue whose messages
# invoke the alias. One module for all models, so that what their functions need is known before the queues invoke them.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  # A bucket's name has at most 63 characters: of a long name of a function, a hash replaces the end. It does not depend on
  # the stack's own region, which is unknown while a `depends_on` of the caller has changes: another name replaces the bucket.
  longest = 63 - length("-jobs-123456789012-ap-northeast-1")
  starts = {
    for model, each in var.models : model => length(each.function_name) <= local.longest ? each.function_name : join("-", [
      substr(each.function_name, 0, local.longest - 9), substr(sha256(each.function_name), 0, 8),
    ])
  }

  # The jobs of each alias, by `model:alias`. No model and no alias has an underscore, so no two queues have the same name.
  aliases = merge([
    for model, each in var.models : {
      for alias in each.aliases : "${model}:${alias}" => merge(each, { model = model, alias = alias, name = "${each.function_name}_jobs_${alias}" })
    }
  ]...)

  partition = data.aws_partition.current.partition
  place     = "${data.aws_service.s3.region}:${data.aws_caller_identity.current.account_id}"
  sqs_arn   = "arn:${local.partition}:sqs:${local.place}"
  rule_arn  = "arn:${local.partition}:events:${local.place}:rule"

  # Built from the names: references would make the queues wait for each other, and the role's policy for both.
  queue_arns    = { for key, each in local.aliases : key => "${local.sqs_arn}:${each.name}" }
  failures_arns = { for key, each in local.aliases : key => "${local.sqs_arn}:${each.name}_failures" }

  # As the function counts them, which reports a job as failed after the last.
  attempts = 5
}

module "bucket" {
  source   = "../bucket"
  for_each = var.models

  name            = local.starts[each.key]
  purpose         = "jobs"
  expire_days     = each.value.keep_days
  expire_prefixes = ["jobs/", "completed/", "calls/"] # not the key of the jobs' IDs
  force_destroy   = true                              # jobs end with the model
  tags            = var.tags
}

resource "aws_cloudwatch_event_rule" "body" {
  for_each = local.aliases

  name        = each.value.name
  description = "The body of a job of ${each.key} has arrived."
  tags        = var.tags

  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = [module.bucket[each.value.model].bucket] }
      object = { key = [{ wildcard = "jobs/${each.value.alias}/*/request" }] }
    }
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  for_each = local.aliases

  rule = aws_cloudwatch_event_rule.body[each.key].name
  arn  = aws_sqs_queue.jobs[each.key].arn

  input_transformer {
    input_paths    = { detail = "$.detail" }
    input_template = "{\"shearling\": \"job\", \"detail\": <detail>}"
  }

  # What EventBridge cannot put into the queue, within a day.
  dead_letter_config {
    arn = aws_sqs_queue.failures[each.key].arn
  }
}

# By alias: the version that the alias serves when the job's turn comes answers it.
resource "aws_lambda_event_source_mapping" "jobs" {
  for_each = local.aliases

  event_source_arn        = aws_sqs_queue.jobs[each.key].arn
  function_name           = var.alias_arns[each.key]
  batch_size              = 1
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = var.tags

  scaling_config {
    maximum_concurrency = each.value.max_concurrency
  }
}
