# One alarm for each alias, and one each for the dead-letter queue, a releaser that does not run, and one that is throttled.

# The releaser reports each attempt as 0 or 1, and so does each comparison with Lambda. The alarm ends with the release that
# succeeds, and keeps its state while nothing is tried.
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

# The releaser reports each scheduled reconciliation that it finishes. Missing reports are the failure.
resource "aws_cloudwatch_metric_alarm" "not_running" {
  alarm_name          = "${var.name}-not-running"
  alarm_description   = "The releaser missed three scheduled reconciliations. Read its log ${module.lambda.log_group_name} and the state of the event rule ${aws_cloudwatch_event_rule.reconcile.name}."
  namespace           = "Shearling"
  metric_name         = "Reconciled"
  dimensions          = { function_name = var.name, alias = "none" }
  statistic           = "Sum"
  period              = var.reconcile_interval_minutes * 60
  evaluation_periods  = 3
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
  tags                = var.options.tags
}

# Lambda retries throttled events for hours, so a short burst is no failure.
resource "aws_cloudwatch_metric_alarm" "throttled" {
  alarm_name          = "${var.name}-throttled"
  alarm_description   = "Lambda has throttled the releaser for 15 minutes, so releases wait. Raise its reserved concurrency, or the account's limit."
  namespace           = "AWS/Lambda"
  metric_name         = "Throttles"
  dimensions          = { FunctionName = module.lambda.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
  tags                = var.options.tags
}
