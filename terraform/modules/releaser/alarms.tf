# One alarm for each alias, and one for the dead-letter queue.

# The releaser reports each attempt as 0 or 1, scheduled ones included. The alarm ends with the release that succeeds, and
# keeps its state while nothing is tried.
resource "aws_cloudwatch_metric_alarm" "release_failed" {
  for_each = local.targets

  alarm_name          = "${var.functions[each.value.model].name}-${each.value.alias}-release-failed"
  alarm_description   = "A release failed; the alias serves its previous version. `shearling status ${each.value.model}` shows the reason."
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
  tags                = var.options.tags
}

# Also fires for a releaser that does not work at all: its scheduled events end in the queue.
resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "The releaser gave an event up after its retries. Read it in the queue ${local.queue_name}, then purge the queue."
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
  tags                = var.options.tags
}
