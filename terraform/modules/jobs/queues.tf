# A queue for each alias, and its dead-letter queue: jobs that were not done after several attempts.

resource "aws_sqs_queue" "jobs" {
  for_each = local.aliases

  name = each.value.name
  # A message is delivered again after this time, and Lambda requires at least the function's timeout.
  visibility_timeout_seconds = each.value.timeout_seconds + 60
  message_retention_seconds  = 4 * 24 * 3600 # as the function reports it of a job that was never started
  sqs_managed_sse_enabled    = var.queue_key_arn == null ? true : null
  kms_master_key_id          = var.queue_key_arn
  tags                       = var.tags

  # Inline, like the policies: the provider waits half a minute for each resource of its own.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failures[each.key].arn
    maxReceiveCount     = local.attempts
  })

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [merge(local.rule_statements[each.key], { Resource = local.queue_arns[each.key] })]
  })
}

resource "aws_sqs_queue" "failures" {
  for_each = local.aliases

  name                      = "${each.value.name}_failures"
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
    for key, each in local.aliases : key => {
      Sid       = "Events"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Condition = { ArnEquals = { "aws:SourceArn" = "${local.rule_arn}/${each.name}" } }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "failures" {
  for_each = local.aliases

  alarm_name          = "${each.value.name}-failures"
  alarm_description   = "Jobs of ${each.key} were not done after ${local.attempts} attempts. Read the function's log, then start a redrive of the queue ${each.value.name}_failures."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.failures[each.key].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
  tags                = var.tags
}
