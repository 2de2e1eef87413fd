# The dead-letter queue: events that the releaser gave up after its retries, and events that never reached it.

locals {
  queue_name = "${var.name}_failures"
  # Built from the name: a reference to the queue would make its own policy and the releaser wait half a minute for it.
  queue_arn = "arn:${local.partition}:sqs:${local.region}:${local.account_id}:${local.queue_name}"
}

resource "aws_sqs_queue" "failures" {
  name                      = local.queue_name
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = var.queue_key_arn == null ? true : null
  kms_master_key_id         = var.queue_key_arn
  tags                      = var.options.tags

  # Inline, because the provider waits half a minute for a separate policy resource.
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
  function_name                = module.lambda.function_name
  maximum_event_age_in_seconds = 21600
  maximum_retry_attempts       = 2

  destination_config {
    on_failure {
      destination = aws_sqs_queue.failures.arn
    }
  }
}
