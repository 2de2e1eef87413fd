# What the releaser gave up, and events that never reached it, end in one queue. Alarms watch over it and each alias.

locals {
  queue_name = "${var.name}_failures"
  # In words, so that neither the queue's own policy nor the releaser has to wait half a minute for the queue.
  queue_arn = "arn:${local.partition}:sqs:${local.region}:${local.account_id}:${local.queue_name}"
}

resource "aws_sqs_queue" "failures" {
  name                      = local.queue_name
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = true

  # Here and not in a resource of its own, for which the provider would wait once more.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Events"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = local.queue_arn
        Condition = {
          ArnLike = { "aws:SourceArn" = "arn:${local.partition}:events:${local.region}:${local.account_id}:rule/${var.name}-*" }
        }
      },
    ]
  })
}

resource "aws_lambda_function_event_invoke_config" "releaser" {
  function_name                = aws_lambda_function.releaser.function_name
  maximum_event_age_in_seconds = 21600
  maximum_retry_attempts       = 2

  destination_config {
    on_failure {
      destination = aws_sqs_queue.failures.arn
    }
  }

  depends_on = [aws_iam_role_policy.releaser]
}

# The releaser counts each attempt, 0 or 1, sweeps included: so the alarm ends with the release that succeeds, and stays
# as it is while nothing is tried.
resource "aws_cloudwatch_metric_alarm" "release_failed" {
  for_each = local.targets

  alarm_name          = "${var.functions[each.value.model].name}-${each.value.alias}-release-failed"
  alarm_description   = "The alias still serves what it served before: `shearling status ${each.value.model}` says why."
  namespace           = "Shearling"
  metric_name         = "ReleaseFailed"
  dimensions          = { function_name = var.functions[each.value.model].name, alias = each.value.alias }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "ignore"
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
}

# Also what tells of a releaser that does not work at all: its sweeps end here.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "The releaser gave an event up, after retries: read it in the queue ${local.queue_name}, then purge the queue."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.failures.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
}
