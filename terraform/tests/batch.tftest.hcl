# What batch runs consist of, what each part of them may do, and what is refused.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name            = "acme"
  function_names  = ["acme-fraud", "acme-churn"]
  sources         = ["s3://acme-lake/2026/", "s3://acme-lake/2025/", "s3://acme-archive"]
  outputs         = ["s3://acme-scores/runs/"]
  max_concurrency = 200
  source_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/lake"]
  output_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/scores"]
  registry        = { bucket = "acme-models", uri = "s3://acme-models/ml", bucket_arn = "arn:aws:s3:::acme-models", root = "ml/", kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/models"] }
  package         = { bucket = "acme-models", key = "control.zip", source_code_hash = "hash" }
  releaser_name   = "acme_releaser"
  alarm_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alarms"
}

run "run_is_planned_scored_and_counted" {
  module {
    source = "./modules/batch"
  }

  assert {
    condition     = aws_sfn_state_machine.batch.name == "acme_batch" && aws_sfn_state_machine.batch.type == "STANDARD"
    error_message = "State machine: ${aws_sfn_state_machine.batch.name}"
  }
  assert {
    condition     = output.state_machine_arn == "arn:aws:states:eu-central-1:123456789012:stateMachine:acme_batch"
    error_message = "ARN: ${output.state_machine_arn}"
  }
  assert {
    condition     = [for name in ["Plan", "Score", "Finish", "Decide"] : try(jsondecode(aws_sfn_state_machine.batch.definition).States[name].Type, "")] == ["Task", "Map", "Task", "Choice"]
    error_message = "States: ${aws_sfn_state_machine.batch.definition}"
  }
  assert {
    condition = alltrue([for map in [jsondecode(aws_sfn_state_machine.batch.definition).States.Score] :
      map.ItemProcessor.ProcessorConfig == { Mode = "DISTRIBUTED", ExecutionType = "STANDARD" }
      && map.ItemReader.ReaderConfig == { InputType = "JSONL" }
      && map.MaxConcurrencyPath == "$.plan.max_concurrency"
      && map.ToleratedFailurePercentagePath == "$.plan.tolerated_failure_percentage"
      && map.ResultPath == null
    ])
    error_message = "A part is an execution of its own, and the run says how many run at the same time and how many may fail."
  }
  assert {
    condition = alltrue([for part in [jsondecode(aws_sfn_state_machine.batch.definition).States.Score.ItemProcessor.States.Part] :
      part.Parameters == { "FunctionName.$" = "$.function_arn", "Payload.$" = "$.request" }
      && alltrue([for retry in part.Retry : retry.JitterStrategy == "FULL" && retry.MaxDelaySeconds == 60 if try(retry.BackoffRate, 0) > 1])
      && [for retry in part.Retry : retry.MaxAttempts if contains(retry.ErrorEquals, "Lambda.TooManyRequestsException")] == [6000]
    ])
    error_message = "Throttled parts wait for their turn, each at its own time."
  }
  assert {
    condition = (
      aws_sfn_state_machine.batch.logging_configuration[0].level == "ERROR"
      && !aws_sfn_state_machine.batch.logging_configuration[0].include_execution_data
      && endswith(aws_sfn_state_machine.batch.logging_configuration[0].log_destination, ":*")
      && !aws_sfn_state_machine.batch.tracing_configuration[0].enabled
    )
    error_message = "Errors are logged without the data."
  }
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.failed.dimensions == tomap({ StateMachineArn = "arn:aws:states:eu-central-1:123456789012:stateMachine:acme_batch" })
      && aws_cloudwatch_metric_alarm.failed.metric_name == "ExecutionsFailed"
      && aws_cloudwatch_metric_alarm.failed.alarm_actions == toset([var.alarm_topic_arn])
    )
    error_message = "A run that fails is reported."
  }
}

run "options_of_the_stack_apply_to_the_state_machine" {
  module {
    source = "./modules/batch"
  }
  variables {
    options = { log_level = "DEBUG", tracing = "Active", tags = { team = "ml" } }
  }

  assert {
    condition = (
      aws_sfn_state_machine.batch.logging_configuration[0].level == "ALL"
      && aws_sfn_state_machine.batch.tracing_configuration[0].enabled
      && aws_sfn_state_machine.batch.tags == tomap({ team = "ml" })
      && contains([for statement in jsondecode(output.role_policies[0]).Statement : statement.Sid], "Trace")
    )
    error_message = "Log level, tracing and tags are those of the stack."
  }
}

run "functions_read_sources_and_write_outputs_and_nothing_else" {
  module {
    source = "./modules/batch"
  }

  assert {
    condition = jsondecode(jsonencode([for statement in output.policy_statements : { (statement.Sid) = statement.Resource }])) == [
      { ReadBatchSources = ["arn:aws:s3:::acme-lake/2026/*", "arn:aws:s3:::acme-lake/2025/*", "arn:aws:s3:::acme-archive/*"] },
      { WriteBatchOutputs = ["arn:aws:s3:::acme-scores/runs/*"] },
      { ListBatchBucket0 = "arn:aws:s3:::acme-archive" },
      { ListBatchBucket1 = "arn:aws:s3:::acme-lake" },
      { ListBatchBucket2 = "arn:aws:s3:::acme-scores" },
      { DecryptBatchSources = ["arn:aws:kms:eu-central-1:123456789012:key/lake"] },
      { EncryptBatchOutputs = ["arn:aws:kms:eu-central-1:123456789012:key/scores"] },
    ]
    error_message = "Statements: ${jsonencode(output.policy_statements)}"
  }
}

run "state_machine_invokes_versions_reads_plans_and_starts_parts" {
  module {
    source = "./modules/batch"
  }

  assert {
    condition = [for statement in jsondecode(output.role_policies[0]).Statement : { (statement.Sid) = [statement.Action, statement.Resource] } if statement.Sid != "DeliverLogs"] == [
      {
        ScoreParts = ["lambda:InvokeFunction", [
          "arn:aws:lambda:eu-central-1:123456789012:function:acme_planner",
          "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:*",
          "arn:aws:lambda:eu-central-1:123456789012:function:acme-churn:*",
        ]]
      },
      { StartParts = ["states:StartExecution", "arn:aws:states:eu-central-1:123456789012:stateMachine:acme_batch"] },
      {
        ManageParts = [
          ["states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"],
          ["arn:aws:states:eu-central-1:123456789012:execution:acme_batch:*", "arn:aws:states:eu-central-1:123456789012:execution:acme_batch/*"],
        ]
      },
      { ReadPlans = ["s3:GetObject", ["arn:aws:s3:::acme-scores/runs/*_run/*"]] },
      { WriteResults = [["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], ["arn:aws:s3:::acme-scores/runs/*_run/*", "arn:aws:s3:::acme-scores/runs/*.error.json"]] },
      { UseOutputKeys = [["kms:Decrypt", "kms:GenerateDataKey"], ["arn:aws:kms:eu-central-1:123456789012:key/scores"]] },
    ]
    error_message = "Statements: ${output.role_policies[0]}"
  }
}

run "planner_reads_data_and_writes_only_what_describes_the_run" {
  module {
    source = "./modules/batch"
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(output.planner_role_policies[0]).Statement : alltrue([
        for resource in flatten([statement.Resource]) : can(regex("_run/\\*$|_manifest\\.json$|_SUCCESS$|^arn:aws:s3:::acme-models/ml/releases/123456789012-eu-central-1-acme-(fraud|churn)-\\?{8}/_runs/\\*$", resource))
      ]) if contains(flatten([statement.Action]), "s3:PutObject")
    ])
    error_message = "Statements: ${output.planner_role_policies[0]}"
  }
  assert {
    condition = [for statement in jsondecode(output.planner_role_policies[0]).Statement : statement.Resource if statement.Action == "lambda:InvokeFunction"] == [
      "arn:aws:lambda:eu-central-1:123456789012:function:acme_releaser",
    ]
    error_message = "It asks the releaser for a version that is gone."
  }
  assert {
    condition     = output.planner_name == "acme_planner"
    error_message = "Function: ${output.planner_name}"
  }
}

run "user_may_start_follow_and_stop_runs_and_read_outputs" {
  module {
    source = "./modules/batch"
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(output.batch_policy).Statement : !can(regex("Put|Delete|Invoke|Redrive", jsonencode(statement.Action)))
    ])
    error_message = "Statements: ${output.batch_policy}"
  }
  assert {
    condition     = contains([for statement in jsondecode(output.batch_policy).Statement : statement.Resource if statement.Sid == "StartRuns"], output.state_machine_arn)
    error_message = "Statements: ${output.batch_policy}"
  }
}

run "given_roles_are_used" {
  module {
    source = "./modules/batch"
  }
  variables {
    role         = { arn = "arn:aws:iam::123456789012:role/batch" }
    planner_role = { arn = "arn:aws:iam::123456789012:role/planner" }
  }

  assert {
    condition     = aws_sfn_state_machine.batch.role_arn == var.role.arn && output.planner_role_arn == var.planner_role.arn && length(aws_iam_role.batch) == 0
    error_message = "Role: ${aws_sfn_state_machine.batch.role_arn}"
  }
}

run "source_has_no_pattern" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    sources = ["s3://acme-lake/2026/*.parquet"]
  }
  expect_failures = [var.sources]
}

run "source_is_a_uri" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    sources = ["acme-lake"]
  }
  expect_failures = [var.sources]
}

run "run_has_a_source" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    sources = []
  }
  expect_failures = [var.sources]
}

run "source_is_not_in_the_registry" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    sources = ["s3://acme-models"]
  }
  expect_failures = [var.sources]
}

run "output_is_a_uri" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    outputs = ["s3://acme_scores/"]
  }
  expect_failures = [var.outputs]
}

run "run_has_an_output" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    outputs = []
  }
  expect_failures = [var.outputs]
}

run "output_is_not_in_the_registry" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    outputs = ["s3://acme-models/ml/blobs/"]
  }
  expect_failures = [var.outputs]
}

run "output_beside_the_registry_is_allowed" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    outputs = ["s3://acme-models/runs/"]
  }
}

run "parts_at_the_same_time_have_a_limit" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    max_concurrency = 10001
  }
  expect_failures = [var.max_concurrency]
}

run "parts_at_the_same_time_are_whole" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    max_concurrency = 0
  }
  expect_failures = [var.max_concurrency]
}

run "run_has_a_model" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    function_names = []
  }
  expect_failures = [var.function_names]
}

run "name_fits_a_function" {
  command = plan
  module {
    source = "./modules/batch"
  }
  variables {
    name = "acme batch"
  }
  expect_failures = [var.name]
}
