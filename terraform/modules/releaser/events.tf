# What makes the releaser run beside an apply: a new entry in the log of an alias, and the clock.

# A rule per model, because a pattern may have 2,048 characters.
resource "aws_cloudwatch_event_rule" "alias_moved" {
  for_each = var.functions

  name        = "${var.name}-${each.key}"
  description = "An alias of the model ${each.key} was moved in the registry."

  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = [var.registry.bucket] }
      object = {
        key = [
          for alias in sort(each.value.aliases) : { wildcard = "${local.root}models/${each.key}/aliases/${alias}/*" }
        ]
      }
    }
  })
}

resource "aws_cloudwatch_event_target" "alias_moved" {
  for_each = var.functions

  rule = aws_cloudwatch_event_rule.alias_moved[each.key].name
  arn  = aws_lambda_function.releaser.arn

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 10
  }

  dead_letter_config {
    arn = aws_sqs_queue.failures.arn
  }
}

resource "aws_cloudwatch_event_rule" "sweep" {
  name                = "${var.name}-sweep_" # no model can be called so
  description         = "Looks at every alias, in case an event was lost."
  schedule_expression = var.sweep_minutes == 1 ? "rate(1 minute)" : "rate(${var.sweep_minutes} minutes)"
}

resource "aws_cloudwatch_event_target" "sweep" {
  rule  = aws_cloudwatch_event_rule.sweep.name
  arn   = aws_lambda_function.releaser.arn
  input = jsonencode({ sweep = true })

  # The next sweep does the work of a lost one.
  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 0
  }
}

# One statement for all rules: a policy of a function may have 20 kB.
resource "aws_lambda_permission" "events" {
  statement_id  = "events"
  function_name = aws_lambda_function.releaser.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = "arn:${local.partition}:events:${local.region}:${local.account_id}:rule/${var.name}-*"
}
