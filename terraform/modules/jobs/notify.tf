# Notifications of jobs that are done. The object that the function writes then is an event of EventBridge in any case.

# Disabled instead of left out: whether a topic of the same apply is null is unknown at plan.
resource "aws_cloudwatch_event_rule" "done" {
  for_each = var.models

  name        = "${each.value.function_name}_done_jobs" # no alias's rule has this name
  description = "A job of the model ${each.key} has succeeded or failed."
  state       = each.value.topic_arn == null ? "DISABLED" : "ENABLED"
  tags        = var.tags

  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail        = { bucket = { name = [module.bucket[each.key].bucket] }, object = { key = [{ prefix = "completed/" }] } }
  })
}

resource "aws_cloudwatch_event_target" "topic" {
  for_each = var.models

  rule = aws_cloudwatch_event_rule.done[each.key].name
  # A rule that is disabled sends nothing to the queue.
  arn = each.value.topic_arn == null ? local.failures_arns["${each.key}:${each.value.aliases[0]}"] : each.value.topic_arn

  input_transformer {
    input_paths    = { bucket = "$.detail.bucket.name", key = "$.detail.object.key" }
    input_template = "{\"function\": ${jsonencode(each.value.function_name)}, \"bucket\": <bucket>, \"key\": <key>}"
  }
}
