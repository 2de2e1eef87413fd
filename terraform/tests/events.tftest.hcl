# What an event consists of, what its function may do, and what is refused.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  events = {
    "fraud:incoming" = {
      model           = "fraud"
      event           = "incoming"
      alias           = "prod"
      aliases         = ["prod", "staging"]
      function_name   = "acme-fraud"
      timeout_seconds = 300
      source          = { bucket = "acme-in", prefix = "incoming/", suffix = ".csv", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/in" }
      output          = { bucket = "acme-out", prefix = "scored/", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/out" }
      options         = { on_bad_rows = "skip", keep_columns = true, header = "auto" }
      max_concurrency = 7
      max_attempts    = 3
      max_age_minutes = 30
    }
  }
  # The least of an event, for the runs that change it.
  event = {
    model           = "fraud"
    event           = "incoming"
    alias           = "prod"
    aliases         = ["prod"]
    function_name   = "acme-fraud"
    timeout_seconds = 30
    source          = { bucket = "acme-in", prefix = "incoming/" }
    output          = { bucket = "acme-out", prefix = "scored/" }
    options         = { on_bad_rows = "fail", keep_columns = false, header = "auto" }
    max_concurrency = 5
    max_attempts    = 5
    max_age_minutes = 60
  }
  alias_arns = {
    "fraud:prod"    = "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:prod"
    "fraud:staging" = "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:staging"
  }
  registry        = { bucket = "acme-models", root = "ml/", kms_key_arns = [] }
  alarm_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "objects_reach_the_alias_through_a_queue" {
  module {
    source = "./modules/events"
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.object_created["fraud:incoming"].event_pattern) == {
      source      = ["aws.s3"]
      detail-type = ["Object Created"]
      detail      = { bucket = { name = ["acme-in"] }, object = { key = [{ wildcard = "incoming/*.csv" }] } }
    }
    error_message = "Pattern: ${aws_cloudwatch_event_rule.object_created["fraud:incoming"].event_pattern}"
  }
  assert {
    condition = jsondecode(replace(aws_cloudwatch_event_target.queue["fraud:incoming"].input_transformer[0].input_template, "<detail>", "0")) == {
      shearling = "score"
      event     = "incoming"
      detail    = 0
      source    = {}
      output    = { bucket = "acme-out", prefix = "scored/", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/out" }
      options   = { on_bad_rows = "skip", keep_columns = true, header = "auto", source_prefix = "incoming/" }
    }
    error_message = "Score request: ${aws_cloudwatch_event_target.queue["fraud:incoming"].input_transformer[0].input_template}"
  }
  assert {
    condition     = aws_cloudwatch_event_target.queue["fraud:incoming"].input_transformer[0].input_paths == tomap({ detail = "$.detail" })
    error_message = "A single string is inserted without escapes."
  }
  assert {
    condition = (
      aws_lambda_event_source_mapping.queue["fraud:incoming"].function_name == var.alias_arns["fraud:prod"]
      && aws_lambda_event_source_mapping.queue["fraud:incoming"].batch_size == 1
      && aws_lambda_event_source_mapping.queue["fraud:incoming"].function_response_types == toset(["ReportBatchItemFailures"])
      && aws_lambda_event_source_mapping.queue["fraud:incoming"].scaling_config[0].maximum_concurrency == 7
    )
    error_message = "An object fails alone, and the alias decides on the version."
  }
  assert {
    condition = (
      aws_sqs_queue.objects["fraud:incoming"].name == "acme-fraud_incoming"
      && aws_sqs_queue.objects["fraud:incoming"].visibility_timeout_seconds == 360
      && aws_sqs_queue.objects["fraud:incoming"].sqs_managed_sse_enabled
      && jsondecode(aws_sqs_queue.objects["fraud:incoming"].redrive_policy).maxReceiveCount == 3
      && aws_sqs_queue.failures["fraud:incoming"].name == "acme-fraud_incoming_failures"
      && aws_sqs_queue.failures["fraud:incoming"].message_retention_seconds > aws_sqs_queue.objects["fraud:incoming"].message_retention_seconds
      && aws_sqs_queue.failures["fraud:incoming"].sqs_managed_sse_enabled
      && jsondecode(aws_sqs_queue.failures["fraud:incoming"].redrive_allow_policy).sourceQueueArns == ["arn:aws:sqs:eu-central-1:123456789012:acme-fraud_incoming"]
    )
    error_message = "Messages are encrypted, wait for the function's timeout, and are kept."
  }
  assert {
    condition = alltrue([
      for queue, suffix in {
        (aws_sqs_queue.objects["fraud:incoming"].policy)  = ""
        (aws_sqs_queue.failures["fraud:incoming"].policy) = "_failures"
      } :
      jsondecode(queue).Statement == [{
        Sid       = "Events"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = "arn:aws:sqs:eu-central-1:123456789012:acme-fraud_incoming${suffix}"
        Condition = { ArnEquals = { "aws:SourceArn" = "arn:aws:events:eu-central-1:123456789012:rule/acme-fraud_incoming" } }
      }]
    ])
    error_message = "Only the event's own rule may send: ${aws_sqs_queue.objects["fraud:incoming"].policy}"
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.failures["fraud:incoming"].dimensions == tomap({ QueueName = "acme-fraud_incoming_failures" })
      && aws_cloudwatch_metric_alarm.waiting["fraud:incoming"].threshold == 1800
      && aws_cloudwatch_metric_alarm.waiting["fraud:incoming"].metric_name == "ApproximateAgeOfOldestMessage"
      && alltrue([for alarm in [aws_cloudwatch_metric_alarm.failures, aws_cloudwatch_metric_alarm.waiting] : alarm["fraud:incoming"].alarm_actions == toset([var.alarm_topic_arn])])
    )
    error_message = "Failures and objects that wait are reported."
  }
}

run "role_may_read_the_source_and_write_the_output_and_nothing_else" {
  module {
    source = "./modules/events"
  }

  assert {
    condition = jsondecode(jsonencode(output.policy_statements)) == {
      fraud = [
        { Sid = "ReadEventSources", Effect = "Allow", Action = "s3:GetObject", Resource = ["arn:aws:s3:::acme-in/incoming/*.csv"] },
        {
          Sid      = "WriteEventOutputs"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
          Resource = ["arn:aws:s3:::acme-out/scored/*"]
        },
        {
          Sid       = "ListEventBucket0"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = "arn:aws:s3:::acme-in"
          Condition = { StringLike = { "s3:prefix" = ["incoming/*"] } }
        },
        {
          Sid       = "ListEventBucket1"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = "arn:aws:s3:::acme-out"
          Condition = { StringLike = { "s3:prefix" = ["scored/*"] } }
        },
        {
          Sid       = "DecryptEventSources"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = ["arn:aws:kms:eu-central-1:123456789012:key/in"]
          Condition = { StringLike = { "kms:ViaService" = "s3.*.amazonaws.com" } }
        },
        {
          Sid       = "EncryptEventOutputs"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource  = ["arn:aws:kms:eu-central-1:123456789012:key/out"]
          Condition = { StringLike = { "kms:ViaService" = "s3.*.amazonaws.com" } }
        },
        {
          Sid      = "ReceiveEvents"
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
          Resource = ["arn:aws:sqs:eu-central-1:123456789012:acme-fraud_incoming"]
        },
      ]
    }
    error_message = "Statements: ${jsonencode(output.policy_statements)}"
  }
}

run "user_may_repeat_failures_and_nothing_else" {
  module {
    source = "./modules/events"
  }
  variables {
    queue_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/queues"
  }

  assert {
    condition = [for statement in jsondecode(output.redrive_policy).Statement : { (statement.Sid) = [statement.Action, statement.Resource] }] == [
      {
        SeeEvents = [
          ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"],
          ["arn:aws:sqs:eu-central-1:123456789012:acme-fraud_incoming", "arn:aws:sqs:eu-central-1:123456789012:acme-fraud_incoming_failures"],
        ]
      },
      { SeeRules = ["events:DescribeRule", ["arn:aws:events:eu-central-1:123456789012:rule/acme-fraud_incoming"]] },
      { SeeNotifications = ["s3:GetBucketNotification", ["arn:aws:s3:::acme-in"]] },
      { TakeFailures = [["sqs:ReceiveMessage", "sqs:DeleteMessage"], ["arn:aws:sqs:eu-central-1:123456789012:acme-fraud_incoming_failures"]] },
      { RepeatEvents = ["sqs:SendMessage", ["arn:aws:sqs:eu-central-1:123456789012:acme-fraud_incoming"]] },
      { ReadDeployments = ["s3:GetObject", "arn:aws:s3:::acme-models/ml/deployments/*"] },
      { ListDeployments = ["s3:ListBucket", "arn:aws:s3:::acme-models"] },
      { EncryptEvents = [["kms:Decrypt", "kms:GenerateDataKey"], "arn:aws:kms:eu-central-1:123456789012:key/queues"] },
    ]
    error_message = "Statements: ${output.redrive_policy}"
  }
  assert {
    condition = (
      aws_sqs_queue.objects["fraud:incoming"].kms_master_key_id == var.queue_key_arn
      && aws_sqs_queue.failures["fraud:incoming"].kms_master_key_id == var.queue_key_arn
      && contains([for statement in output.policy_statements.fraud : statement.Sid], "DecryptEvents")
    )
    error_message = "The key encrypts both queues, and the function's role may use it."
  }
}

run "name_of_an_event_has_no_underscore" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { event = "in_coming" })
    }
  }
  expect_failures = [var.events]
}

run "name_of_an_event_and_its_function_fits_a_rule" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { event = "eeeeeeeeeeeeeeeeeeee", function_name = "acme-mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm" })
    }
  }
  expect_failures = [var.events]
}

run "alias_of_an_event_is_one_of_its_model" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { alias = "production" })
    }
  }
  expect_failures = [var.events]
}

run "bucket_is_no_uri" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "s3://acme-in", prefix = "incoming/" } })
    }
  }
  expect_failures = [var.events]
}

run "prefix_is_no_pattern" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "incoming/*" } })
    }
  }
  expect_failures = [var.events]
}

run "prefix_is_no_placeholder" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { output = { bucket = "acme-out", prefix = "<detail>/" } })
    }
  }
  expect_failures = [var.events]
}

run "prefix_begins_with_no_slash" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { output = { bucket = "acme-out", prefix = "/scored/" } })
    }
  }
  expect_failures = [var.events]
}

run "format_is_one_that_the_function_writes" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { output = { bucket = "acme-out", format = "xlsx" } })
    }
  }
  expect_failures = [var.events]
}

run "no_output_is_a_picture" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { output = { bucket = "acme-out", format = "image" } })
    }
  }
  expect_failures = [var.events]
}

run "max_concurrency_is_at_least_two" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { max_concurrency = 1 })
    }
  }
  expect_failures = [var.events]
}

run "max_concurrency_is_at_most_a_thousand" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { max_concurrency = 1001 })
    }
  }
  expect_failures = [var.events]
}

run "max_concurrency_is_within_the_reserved_concurrency" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { reserved_concurrency = 4 })
    }
  }
  expect_failures = [var.events]
}

run "max_attempts_is_at_least_one" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { max_attempts = 0 })
    }
  }
  expect_failures = [var.events]
}

run "max_age_minutes_is_within_the_retention_of_a_queue" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { max_age_minutes = 5761 })
    }
  }
  expect_failures = [var.events]
}

run "on_bad_rows_is_a_known_word" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { options = { on_bad_rows = "ignore", keep_columns = false, header = "auto" } })
    }
  }
  expect_failures = [var.events]
}

run "header_is_a_known_word" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { options = { on_bad_rows = "fail", keep_columns = false, header = "yes" } })
    }
  }
  expect_failures = [var.events]
}

run "source_is_outside_of_the_registry" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-models", prefix = "ml/models/" } })
    }
  }
  expect_failures = [var.events]
}

run "source_does_not_contain_the_registry" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-models" } })
    }
  }
  expect_failures = [var.events]
}

run "output_is_outside_of_the_registry" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { output = { bucket = "acme-models", prefix = "ml/" } })
    }
  }
  expect_failures = [var.events]
}

run "output_does_not_arrive_at_its_own_source" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "in/" }, output = { bucket = "acme-in", prefix = "in/scored/" } })
    }
  }
  expect_failures = [aws_sqs_queue.objects["fraud:incoming"]]
}

run "output_does_not_begin_with_its_own_source" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "in/2026/" }, output = { bucket = "acme-in", prefix = "in/" } })
    }
  }
  expect_failures = [aws_sqs_queue.objects["fraud:incoming"]]
}

run "whole_bucket_is_not_written_to" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "" }, output = { bucket = "acme-in", prefix = "scored/" } })
    }
  }
  expect_failures = [aws_sqs_queue.objects["fraud:incoming"]]
}

run "output_of_the_same_suffix_does_not_arrive_at_its_own_source" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "in/", suffix = ".csv" }, output = { bucket = "acme-in", prefix = "in/" } })
    }
  }
  expect_failures = [aws_sqs_queue.objects["fraud:incoming"]]
}

run "another_suffix_of_the_same_format_is_kept" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "in/", suffix = ".NDJSON" }, output = { bucket = "acme-in", prefix = "in/", format = "jsonl" } })
    }
  }
  expect_failures = [aws_sqs_queue.objects["fraud:incoming"]]
}

run "two_events_do_not_feed_each_other" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "a/" }, output = { bucket = "acme-in", prefix = "b/" } })
      "fraud:back"     = merge(var.event, { event = "back", source = { bucket = "acme-in", prefix = "b/" }, output = { bucket = "acme-in", prefix = "a/" } })
    }
  }
  expect_failures = [aws_sqs_queue.objects["fraud:incoming"], aws_sqs_queue.objects["fraud:back"]]
}

run "five_events_do_not_feed_each_other_in_a_circle" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:e0" = merge(var.event, { event = "e0", source = { bucket = "acme-in", prefix = "0/" }, output = { bucket = "acme-in", prefix = "1/" } })
      "fraud:e1" = merge(var.event, { event = "e1", source = { bucket = "acme-in", prefix = "1/" }, output = { bucket = "acme-in", prefix = "2/" } })
      "fraud:e2" = merge(var.event, { event = "e2", source = { bucket = "acme-in", prefix = "2/" }, output = { bucket = "acme-in", prefix = "3/" } })
      "fraud:e3" = merge(var.event, { event = "e3", source = { bucket = "acme-in", prefix = "3/" }, output = { bucket = "acme-in", prefix = "4/" } })
      "fraud:e4" = merge(var.event, { event = "e4", source = { bucket = "acme-in", prefix = "4/" }, output = { bucket = "acme-in", prefix = "0/" } })
    }
  }
  expect_failures = [aws_sqs_queue.objects["fraud:e0"], aws_sqs_queue.objects["fraud:e1"], aws_sqs_queue.objects["fraud:e2"], aws_sqs_queue.objects["fraud:e3"], aws_sqs_queue.objects["fraud:e4"]]
}

run "output_beside_its_source_by_another_suffix" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "in/", suffix = ".csv" }, output = { bucket = "acme-in", prefix = "in/", format = "jsonl" } })
    }
  }
  assert {
    condition     = length(aws_sqs_queue.objects) > 0
    error_message = "No loop is refused."
  }
}

run "pictures_beside_their_lines_of_json" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "cats:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "in/", suffix = ".JPG" }, output = { bucket = "acme-in", prefix = "in/" } })
      "dogs:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "in/", suffix = ".x", format = "image" }, output = { bucket = "acme-in", prefix = "in/" } })
    }
  }
  assert {
    condition     = length(aws_sqs_queue.objects) == 2
    error_message = "No loop is refused."
  }
}

run "lines_of_json_of_pictures_do_not_arrive_at_their_own_source" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "cats:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "in/", suffix = ".jsonl", format = "image" }, output = { bucket = "acme-in", prefix = "in/" } })
    }
  }
  expect_failures = [aws_sqs_queue.objects["cats:incoming"]]
}

run "prefixes_of_the_same_letters_are_other_folders" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:incoming" = merge(var.event, { source = { bucket = "acme-in", prefix = "in/" }, output = { bucket = "acme-in", prefix = "in-scored/" } })
    }
  }
  assert {
    condition     = length(aws_sqs_queue.objects) > 0
    error_message = "No loop is refused."
  }
}

run "chain_ends" {
  command = plan
  module {
    source = "./modules/events"
  }
  variables {
    events = {
      "fraud:a" = merge(var.event, { event = "a", source = { bucket = "acme-in", prefix = "a/" }, output = { bucket = "acme-in", prefix = "b/" } })
      "fraud:b" = merge(var.event, { event = "b", source = { bucket = "acme-in", prefix = "b/" }, output = { bucket = "acme-in", prefix = "c/" } })
    }
  }
  assert {
    condition     = length(aws_sqs_queue.objects) > 0
    error_message = "No loop is refused."
  }
}
