# Asynchronous jobs: the bucket, a queue for each alias, what is refused, and what the function may do.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  models = {
    fraud = {
      function_name   = "acme-fraud"
      aliases         = ["prod", "staging"]
      timeout_seconds = 300
      keep_days       = 7
      max_concurrency = 5
      topic_arn       = null
    }
  }
  alias_arns = {
    "fraud:prod"    = "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:prod"
    "fraud:staging" = "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:staging"
  }
}

run "each_alias_runs_its_own_jobs" {
  module {
    source = "./modules/jobs"
  }

  assert {
    condition = {
      for key, rule in aws_cloudwatch_event_rule.body : key => jsondecode(rule.event_pattern).detail.object.key[0].wildcard
      } == {
      "fraud:prod"    = "jobs/prod/*/request"
      "fraud:staging" = "jobs/staging/*/request"
    }
    error_message = "Another object would start a job."
  }
  assert {
    condition     = tomap({ for key, mapping in aws_lambda_event_source_mapping.jobs : key => mapping.function_name }) == var.alias_arns
    error_message = "The queue of an alias invokes that alias."
  }
  assert {
    condition = alltrue([
      for mapping in aws_lambda_event_source_mapping.jobs :
      mapping.batch_size == 1 && mapping.function_response_types == toset(["ReportBatchItemFailures"]) && mapping.scaling_config[0].maximum_concurrency == 5
    ])
    error_message = "One job an invocation, and five at a time."
  }
  assert {
    condition     = alltrue([for queue in aws_sqs_queue.jobs : queue.visibility_timeout_seconds == 360 && queue.message_retention_seconds == 345600 && jsondecode(queue.redrive_policy).maxReceiveCount == 5])
    error_message = "A message is delivered again only after the function's timeout, five times, within four days."
  }
  assert {
    condition     = sort(keys(aws_cloudwatch_metric_alarm.failures)) == tolist(["fraud:prod", "fraud:staging"])
    error_message = "Each dead-letter queue has an alarm."
  }
}

run "bucket_has_the_name_of_the_function" {
  module {
    source = "./modules/jobs"
  }

  assert {
    condition     = output.buckets == { fraud = "acme-fraud-jobs-123456789012-eu-central-1" }
    error_message = "Buckets: ${jsonencode(output.buckets)}"
  }
}

run "function_reads_and_writes_jobs_and_nothing_else" {
  module {
    source = "./modules/jobs"
  }

  assert {
    condition = [for s in output.policy_statements["fraud"] : [s.Sid, jsonencode(s.Resource)]] == [
      ["ReadAndWriteJobs", jsonencode([for folder in ["jobs", "completed", "secret", "calls"] : "arn:aws:s3:::acme-fraud-jobs-123456789012-eu-central-1/${folder}/*"])],
      ["ListJobs", jsonencode("arn:aws:s3:::acme-fraud-jobs-123456789012-eu-central-1")],
      ["ReceiveJobs", jsonencode([for alias in ["prod", "staging"] : "arn:aws:sqs:eu-central-1:123456789012:acme-fraud_jobs_${alias}"])],
    ]
    error_message = "Statements: ${jsonencode(output.policy_statements)}"
  }
}

run "long_name_has_a_bucket" {
  module {
    source = "./modules/jobs"
  }

  variables {
    models = {
      fraud = {
        function_name   = "a-stack-with-a-very-long-name-for-fraud-of-cards"
        aliases         = ["prod"]
        timeout_seconds = 30
        keep_days       = 1
        max_concurrency = 2
      }
    }
  }

  assert {
    condition     = length(output.buckets["fraud"]) <= 63 && endswith(output.buckets["fraud"], "-jobs-123456789012-eu-central-1")
    error_message = "Bucket: ${output.buckets["fraud"]}"
  }
}

run "topic_is_notified_where_there_is_one" {
  module {
    source = "./modules/jobs"
  }

  variables {
    models = {
      fraud = {
        function_name   = "acme-fraud"
        aliases         = ["prod"]
        timeout_seconds = 30
        keep_days       = 1
        max_concurrency = 2
        topic_arn       = "arn:aws:sns:eu-central-1:123456789012:done"
      }
    }
  }

  assert {
    condition     = aws_cloudwatch_event_rule.done["fraud"].state == "ENABLED" && aws_cloudwatch_event_target.topic["fraud"].arn == "arn:aws:sns:eu-central-1:123456789012:done"
    error_message = "Nobody is told."
  }
}

run "alias_done_has_a_rule_of_its_own" {
  module {
    source = "./modules/jobs"
  }

  variables {
    models = {
      fraud = { function_name = "acme-fraud", aliases = ["done"], timeout_seconds = 30, keep_days = 1, max_concurrency = 2 }
    }
    alias_arns = { "fraud:done" = "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:done" }
  }

  assert {
    condition     = aws_cloudwatch_event_rule.body["fraud:done"].name != aws_cloudwatch_event_rule.done["fraud"].name
    error_message = "One rule would overwrite the other."
  }
}

run "nobody_is_notified_without_a_topic" {
  module {
    source = "./modules/jobs"
  }

  assert {
    condition     = aws_cloudwatch_event_rule.done["fraud"].state == "DISABLED"
    error_message = "The dead-letter queue would get what succeeded."
  }
}

run "concurrency_of_one_is_refused" {
  command = plan

  module {
    source = "./modules/jobs"
  }

  variables {
    models = {
      fraud = { function_name = "acme-fraud", aliases = ["prod"], timeout_seconds = 30, keep_days = 1, max_concurrency = 1 }
    }
  }

  expect_failures = [var.models]
}

run "half_a_day_is_refused" {
  command = plan

  module {
    source = "./modules/jobs"
  }

  variables {
    models = {
      fraud = { function_name = "acme-fraud", aliases = ["prod"], timeout_seconds = 30, keep_days = 0.5, max_concurrency = 2 }
    }
  }

  expect_failures = [var.models]
}

run "more_jobs_than_reserved_invocations_are_refused" {
  command = plan

  module {
    source = "./modules/jobs"
  }

  variables {
    models = {
      fraud = { function_name = "acme-fraud", aliases = ["prod"], timeout_seconds = 30, keep_days = 1, max_concurrency = 5, reserved_concurrency = 4 }
    }
  }

  expect_failures = [var.models]
}

run "names_that_are_too_long_for_a_rule_are_refused" {
  command = plan

  module {
    source = "./modules/jobs"
  }

  variables {
    models = {
      fraud = { function_name = "acme-fraud-of-cards", aliases = ["an-alias-whose-name-has-the-most-characters-ok"], timeout_seconds = 30, keep_days = 1, max_concurrency = 2 }
    }
    alias_arns = { "fraud:an-alias-whose-name-has-the-most-characters-ok" = "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:a" }
  }

  expect_failures = [var.models]
}
