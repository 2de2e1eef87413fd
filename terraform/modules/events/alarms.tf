# Two alarms for each event: objects that were given up, and objects that wait too long.

resource "aws_cloudwatch_metric_alarm" "failures" {
  for_each = var.events

  alarm_name          = "${local.names[each.key]}-failures"
  alarm_description   = "Objects were not scored after ${each.value.max_attempts} attempts. Read the function's log, then run `shearling events redrive ${each.value.model} --event ${each.value.event}`."
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

resource "aws_cloudwatch_metric_alarm" "waiting" {
  for_each = var.events

  alarm_name          = "${local.names[each.key]}-waiting"
  alarm_description   = "An object has waited for more than ${each.value.max_age_minutes} minutes. Raise max_concurrency of the event ${each.value.event}, or find in the function's log why it fails."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.objects[each.key].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.max_age_minutes * 60
  treat_missing_data  = "notBreaching"
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
  tags                = var.tags
}
