# A queue for each event, and its dead-letter queue: objects that were not scored after several attempts.

resource "aws_sqs_queue" "objects" {
  for_each = var.events

  name = local.names[each.key]
  # A message is delivered again after this time, and Lambda requires at least the function's timeout.
  visibility_timeout_seconds = each.value.timeout_seconds + 60
  message_retention_seconds  = 4 * 24 * 3600
  sqs_managed_sse_enabled    = var.queue_key_arn == null ? true : null
  kms_master_key_id          = var.queue_key_arn
  tags                       = var.tags

  # Inline, like the policies: the provider waits half a minute for each resource of its own.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failures[each.key].arn
    maxReceiveCount     = each.value.max_attempts
  })

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [merge(local.rule_statements[each.key], { Resource = local.queue_arns[each.key] })]
  })

  lifecycle {
    precondition {
      condition     = length(local.loops[each.key]) == 0
      error_message = "The output of the event ${each.key} arrives at the source of ${join(" and ", local.loops[each.key])} and so at its own: each object would be scored again and again. Write to another prefix, or give the source a suffix that the output does not have."
    }
  }
}

resource "aws_sqs_queue" "failures" {
  for_each = var.events

  name                      = "${local.names[each.key]}_failures"
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = var.queue_key_arn == null ? true : null
  kms_master_key_id         = var.queue_key_arn
  tags                      = var.tags

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [local.queue_arns[each.key]]
  })

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [merge(local.rule_statements[each.key], { Resource = local.failures_arns[each.key] })]
  })
}

locals {
  rule_statements = {
    for key, name in local.names : key => {
      Sid       = "Events"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Condition = { ArnEquals = { "aws:SourceArn" = "${local.rule_arn}/${name}" } }
    }
  }
}
