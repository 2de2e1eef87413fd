# An event of a model: EventBridge puts a score request for each object that arrives into a queue, and Lambda invokes the
# model's alias with it. The configuration is in the rule's target, so a change of it publishes no version of the function.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  # Names of the queue and of the rule. No model and no event has an underscore, so no two events have the same.
  names = { for key, event in var.events : key => "${event.function_name}_${event.event}" }

  place    = "${data.aws_service.s3.region}:${data.aws_caller_identity.current.account_id}"
  sqs_arn  = "arn:${data.aws_partition.current.partition}:sqs:${local.place}"
  rule_arn = "arn:${data.aws_partition.current.partition}:events:${local.place}:rule"

  # Built from the names: references would make the queues wait for each other, and the role's policy for both.
  queue_arns    = { for key, name in local.names : key => "${local.sqs_arn}:${name}" }
  failures_arns = { for key, name in local.names : key => "${local.sqs_arn}:${name}_failures" }

  # A field of a pattern has alternatives and no conjunction: prefix and suffix together are a wildcard.
  key_patterns = {
    for key, event in var.events : key => (
      event.source.prefix != "" && event.source.suffix != "" ? [{ wildcard = "${event.source.prefix}*${event.source.suffix}" }] :
      event.source.prefix != "" ? [{ prefix = event.source.prefix }] :
      event.source.suffix != "" ? [{ suffix = event.source.suffix }] : []
    )
  }

  # What a score request says besides its object; an attribute that is not set is left to the function.
  requests = {
    for key, event in var.events : key => {
      source  = { for name in ["format"] : name => event.source[name] if event.source[name] != null }
      output  = { for name, value in event.output : name => value if value != null && value != "" }
      options = merge(event.options, { source_prefix = event.source.prefix })
    }
  }
}

resource "aws_cloudwatch_event_rule" "object_created" {
  for_each = var.events

  name        = local.names[each.key]
  description = "An object for the model ${each.value.model} arrived in ${each.value.source.bucket}."
  tags        = var.tags

  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = merge(
      { bucket = { name = [each.value.source.bucket] } },
      { for pattern in local.key_patterns[each.key][*] : "object" => { key = [pattern] } },
    )
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  for_each = var.events

  rule = aws_cloudwatch_event_rule.object_created[each.key].name
  arn  = aws_sqs_queue.objects[each.key].arn

  input_transformer {
    # The whole detail, which EventBridge inserts as JSON. It does not escape a string, and a key may have quotes in it.
    input_paths = { detail = "$.detail" }

    input_template = format(
      "{\"shearling\": \"score\", \"event\": %s, \"detail\": <detail>, \"source\": %s, \"output\": %s, \"options\": %s}",
      jsonencode(each.value.event),
      jsonencode(local.requests[each.key].source),
      jsonencode(local.requests[each.key].output),
      jsonencode(local.requests[each.key].options),
    )
  }

  # What EventBridge cannot put into the queue, within a day.
  dead_letter_config {
    arn = aws_sqs_queue.failures[each.key].arn
  }
}

# By alias: Lambda invokes the version that the alias serves when the object's turn comes.
resource "aws_lambda_event_source_mapping" "queue" {
  for_each = var.events

  event_source_arn        = aws_sqs_queue.objects[each.key].arn
  function_name           = var.alias_arns["${each.value.model}:${each.value.alias}"]
  batch_size              = 1
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = var.tags

  scaling_config {
    maximum_concurrency = each.value.max_concurrency
  }
}
