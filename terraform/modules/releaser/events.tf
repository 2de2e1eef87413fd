# The two events that invoke the releaser, besides an apply: a new entry in the log of an alias, and a schedule.

# One rule for each model, with one prefix, because a pattern has at most 2,048 characters.
resource "aws_cloudwatch_event_rule" "alias_moved" {
  for_each = local.functions_beside_bucket

  name        = "${var.name}-${each.key}"
  description = "An alias of the model ${each.key} was moved in the registry."
  tags        = var.options.tags

  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created"]
    detail = {
      bucket = { name = [var.registry.bucket] }
      object = {
        key = [{ prefix = "${var.registry.root}models/${each.key}/aliases/" }] # the releaser ignores keys that are no entries
      }
    }
  })
}

resource "aws_cloudwatch_event_target" "alias_moved" {
  for_each = local.functions_beside_bucket

  rule = aws_cloudwatch_event_rule.alias_moved[each.key].name
  arn  = module.lambda.function_arn

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 10
  }

  dead_letter_config {
    arn = aws_sqs_queue.failures.arn
  }
}

resource "aws_cloudwatch_event_rule" "reconcile" {
  name                = "${var.name}-sweep_" # no model can have this name
  description         = "Reconciles every alias, in case an event was lost."
  tags                = var.options.tags
  schedule_expression = var.reconcile_interval_minutes == 1 ? "rate(1 minute)" : "rate(${var.reconcile_interval_minutes} minutes)"
}

resource "aws_cloudwatch_event_target" "reconcile" {
  rule  = aws_cloudwatch_event_rule.reconcile.name
  arn   = module.lambda.function_arn
  input = jsonencode({ sweep = true })

  # The next scheduled event does the work of a lost one.
  retry_policy {
    maximum_event_age_in_seconds = 60
    maximum_retry_attempts       = 0
  }

  dead_letter_config {
    arn = aws_sqs_queue.failures.arn
  }
}

# One statement for all rules, because a function's resource policy has at most 20 kB.
resource "aws_lambda_permission" "events" {
  statement_id  = "events"
  function_name = module.lambda.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = "arn:${local.place.partition}:events:${local.place.region}:${local.place.account}:rule/${var.name}-*"
}
