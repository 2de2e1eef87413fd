# What the releaser may do, what makes it run, and what it finds in the registry.

mock_provider "aws" {
  source = "./tests/mocks"
}

override_resource {
  target = terraform_data.deployment
  values = { id = "0a1b2c3d-0000-0000-0000-000000000000" }
}

variables {
  name = "acme_releaser"
  registry = {
    bucket       = "acme-models"
    uri          = "s3://acme-models/ml"
    bucket_arn   = "arn:aws:s3:::acme-models"
    root         = "ml/"
    kms_key_arns = []
  }
  package = { bucket = "acme-models", key = "packages/1.zip", source_code_hash = "aGFzaA==" }
  api_url = "https://example.com"
  functions = {
    fraud = {
      name            = "acme-fraud"
      aliases         = ["staging", "prod"]
      python          = "3.13"
      release_trigger = "1"
    }
  }
}

run "role_may_release_its_functions_and_nothing_else" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition = jsondecode(module.lambda.policies[0]) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/acme_releaser:*"
        },
        {
          Sid    = "ReadRegistry"
          Effect = "Allow"
          Action = "s3:GetObject"
          Resource = [
            "arn:aws:s3:::acme-models/ml/blobs/*",
            "arn:aws:s3:::acme-models/ml/models/*",
            "arn:aws:s3:::acme-models/ml/releases/*",
            "arn:aws:s3:::acme-models/ml/deployments/*",
          ]
        },
        {
          Sid      = "ListRegistry"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = "arn:aws:s3:::acme-models"
          Condition = {
            StringLike = { "s3:prefix" = ["ml/blobs/*", "ml/models/*", "ml/releases/*", "ml/deployments/*"] }
          }
        },
        {
          Sid      = "ReportFailure"
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = "arn:aws:sqs:eu-central-1:123456789012:acme_releaser_failures"
        },
        {
          Sid      = "RecordReleases"
          Effect   = "Allow"
          Action   = "s3:PutObject"
          Resource = ["arn:aws:s3:::acme-models/ml/releases/123456789012-eu-central-1-acme-fraud-????????/*"]
        },
        {
          Sid    = "Release"
          Effect = "Allow"
          Action = [
            "lambda:GetAlias",
            "lambda:GetFunctionConfiguration",
            "lambda:ListAliases",
            "lambda:ListVersionsByFunction",
            "lambda:PublishVersion",
            "lambda:UpdateAlias",
            "lambda:UpdateFunctionConfiguration",
          ]
          Resource = [
            "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud",
            "arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:*",
          ]
        },
        {
          Sid      = "CheckAndDeleteVersions"
          Effect   = "Allow"
          Action   = ["lambda:InvokeFunction", "lambda:DeleteFunction"]
          Resource = ["arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:*"]
        },
      ]
    }
    error_message = "Policy: ${module.lambda.policies[0]}"
  }
}

run "role_may_use_the_key_of_the_bucket" {
  module {
    source = "./modules/releaser"
  }

  variables {
    registry = {
      bucket       = "acme-models"
      uri          = "s3://acme-models"
      bucket_arn   = "arn:aws:s3:::acme-models"
      root         = ""
      kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/1234"]
    }
  }

  assert {
    condition = { for s in jsondecode(module.lambda.policies[0]).Statement : s.Sid => [s.Action, s.Resource] if contains(["DecryptRegistry", "EncryptRecords"], s.Sid) } == {
      DecryptRegistry = ["kms:Decrypt", ["arn:aws:kms:eu-central-1:123456789012:key/1234"]]
      EncryptRecords  = ["kms:GenerateDataKey", ["arn:aws:kms:eu-central-1:123456789012:key/1234"]]
    }
    error_message = "Policy: ${module.lambda.policies[0]}"
  }
}

run "releaser_is_told_of_moved_aliases_of_its_models_alone" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.alias_moved["fraud"].event_pattern) == {
      source      = ["aws.s3"]
      detail-type = ["Object Created"]
      detail = {
        bucket = { name = ["acme-models"] }
        object = {
          key = [{ prefix = "ml/models/fraud/aliases/" }]
        }
      }
    }
    error_message = "Pattern: ${aws_cloudwatch_event_rule.alias_moved["fraud"].event_pattern}"
  }
  assert {
    condition     = aws_cloudwatch_event_target.alias_moved["fraud"].dead_letter_config[0].arn == aws_sqs_queue.failures.arn
    error_message = "An event that cannot be delivered is kept."
  }
  assert {
    condition = (
      aws_lambda_permission.events.principal == "events.amazonaws.com"
      && aws_lambda_permission.events.source_arn == "arn:aws:events:eu-central-1:123456789012:rule/acme_releaser-*"
    )
    error_message = "Only the releaser's own rules may invoke it."
  }
}

run "aliases_are_reconciled_every_five_minutes" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition     = aws_cloudwatch_event_rule.reconcile.schedule_expression == "rate(5 minutes)" && aws_cloudwatch_event_target.reconcile.input == jsonencode({ sweep = true })
    error_message = "An event that was lost is made up for."
  }
  assert {
    condition     = aws_cloudwatch_event_target.reconcile.dead_letter_config[0].arn == aws_sqs_queue.failures.arn
    error_message = "A scheduled event that cannot be delivered is kept."
  }
  assert {
    condition = module.lambda.environment == tomap({
      SHEARLING_FULL_RECONCILE_MINUTES = "60"
      SHEARLING_RECONCILE_MINUTES      = "5"
      SHEARLING_REGISTRY               = "s3://acme-models/ml"
    })
    error_message = "Environment: ${jsonencode(module.lambda.environment)}"
  }
}

run "aliases_are_compared_with_lambda_as_often_as_the_input_says" {
  command = plan
  module {
    source = "./modules/releaser"
  }

  variables {
    full_reconcile_interval_minutes = 15
  }

  assert {
    condition     = module.lambda.environment.SHEARLING_FULL_RECONCILE_MINUTES == "15"
    error_message = "Environment: ${jsonencode(module.lambda.environment)}"
  }
}

run "three_missed_reconciliations_raise_an_alarm" {
  command = plan
  module {
    source = "./modules/releaser"
  }

  variables {
    reconcile_interval_minutes = 10
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.not_running.treat_missing_data == "breaching"
      && aws_cloudwatch_metric_alarm.not_running.period == 600
      && aws_cloudwatch_metric_alarm.not_running.evaluation_periods == 3
      && aws_cloudwatch_metric_alarm.not_running.metric_name == "Reconciled"
      && aws_cloudwatch_metric_alarm.not_running.comparison_operator == "LessThanThreshold"
      && aws_cloudwatch_metric_alarm.not_running.threshold == 1
    )
    error_message = "A releaser that is dead reports nothing."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.not_running.dimensions == tomap({ function_name = "acme_releaser", alias = "none" })
    error_message = "The dimensions are those that the releaser reports with."
  }
}

run "throttling_of_the_releaser_raises_an_alarm" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.throttled.namespace == "AWS/Lambda"
      && aws_cloudwatch_metric_alarm.throttled.metric_name == "Throttles"
      && aws_cloudwatch_metric_alarm.throttled.dimensions.FunctionName == module.lambda.function_name
      && aws_cloudwatch_metric_alarm.throttled.treat_missing_data == "notBreaching"
    )
    error_message = "Releases that wait for the releaser are noticed."
  }
}

run "aliases_can_be_reconciled_every_minute" {
  command = plan
  module {
    source = "./modules/releaser"
  }

  variables {
    reconcile_interval_minutes = 1
  }

  assert {
    condition     = aws_cloudwatch_event_rule.reconcile.schedule_expression == "rate(1 minute)"
    error_message = "EventBridge insists on the singular."
  }
}

run "deployment_tells_who_serves_the_model" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition     = aws_s3_object.deployment["fraud"].key == "ml/deployments/123456789012-eu-central-1-acme-fraud-0a1b2c3d.json"
    error_message = "Key: ${aws_s3_object.deployment["fraud"].key}"
  }
  assert {
    condition = jsondecode(aws_s3_object.deployment["fraud"].content) == {
      account  = "123456789012"
      aliases  = ["prod", "staging"]
      api_url  = "https://example.com"
      function = "acme-fraud"
      model    = "fraud"
      region   = "eu-central-1"
      releaser = "acme_releaser"
      runtime  = "python3.13"
    }
    error_message = "Deployment: ${aws_s3_object.deployment["fraud"].content}"
  }
}

run "apply_releases_all_aliases_of_a_function" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition = { for model, release in aws_lambda_invocation.release : model => jsondecode(release.input) } == {
      fraud = { function = "acme-fraud" }
    }
    error_message = "An apply releases every function, its aliases in turns."
  }
  assert {
    condition = tomap(aws_lambda_invocation.release["fraud"].triggers) == tomap({
      aliases       = "prod,staging"
      configuration = "1"
    })
    error_message = "A changed configuration, and a new alias, release anew."
  }
}

run "failures_are_kept_and_raise_alarms" {
  module {
    source = "./modules/releaser"
  }

  variables {
    alarm_topic_arn = "arn:aws:sns:eu-central-1:123456789012:alarms"
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.releaser.destination_config[0].on_failure[0].destination == aws_sqs_queue.failures.arn
    error_message = "What the releaser gave up is kept."
  }
  assert {
    condition = alltrue([
      for alarm in concat(
        [aws_cloudwatch_metric_alarm.dead_letters, aws_cloudwatch_metric_alarm.not_running, aws_cloudwatch_metric_alarm.throttled],
        values(aws_cloudwatch_metric_alarm.release_failed),
      ) :
      tolist(alarm.alarm_actions) == tolist([var.alarm_topic_arn]) && tolist(alarm.ok_actions) == tolist([var.alarm_topic_arn])
    ])
    error_message = "Every alarm tells the topic."
  }
  assert {
    condition = { for key, alarm in aws_cloudwatch_metric_alarm.release_failed : key => alarm.dimensions } == {
      "fraud:prod"    = tomap({ alias = "prod", function_name = "acme-fraud" })
      "fraud:staging" = tomap({ alias = "staging", function_name = "acme-fraud" })
    }
    error_message = "Each alias has an alarm of its own."
  }
  assert {
    condition = jsondecode(aws_sqs_queue.failures.policy).Statement == [
      {
        Sid       = "Events"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = "arn:aws:sqs:eu-central-1:123456789012:acme_releaser_failures"
        Condition = { ArnLike = { "aws:SourceArn" = "arn:aws:events:eu-central-1:123456789012:rule/acme_releaser-*" } }
      },
    ]
    error_message = "Queue policy: ${aws_sqs_queue.failures.policy}"
  }
}

run "alarms_need_no_topic" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.dead_letters.alarm_actions) == 0
    error_message = "Without a topic an alarm tells nobody, but shows."
  }
}

run "releaser_without_functions_is_possible" {
  module {
    source = "./modules/releaser"
  }

  variables {
    functions = {}
  }

  assert {
    condition     = [for s in jsondecode(module.lambda.policies[0]).Statement : s.Sid] == ["Log", "ReadRegistry", "ListRegistry", "ReportFailure"]
    error_message = "Nothing to release, no right to."
  }
}

run "who_runs_retry_release_may_invoke_the_releaser" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition = jsondecode(output.release_policy).Statement == [
      { Action = "lambda:InvokeFunction", Effect = "Allow", Resource = "arn:aws:lambda:eu-central-1:123456789012:function:mocked", Sid = "Release" },
    ]
    error_message = "Policy: ${output.release_policy}"
  }
}

run "policies_of_many_functions_with_long_names_fit_iam" {
  command = plan
  module {
    source = "./modules/releaser"
  }

  variables {
    registry = {
      bucket       = "acme-${join("", [for _ in range(58) : "x"])}"
      uri          = "s3://acme-${join("", [for _ in range(58) : "x"])}/ml"
      bucket_arn   = "arn:aws:s3:::acme-${join("", [for _ in range(58) : "x"])}"
      root         = "teams/ml/"
      kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"]
    }
    functions = {
      for n in range(90) : "model-${n}-with-a-name-of-48-characters" => {
        name            = "acme-model-${n}-with-a-name-of-48-characters-xxxxxxxxxxxx"
        aliases         = ["prod"]
        python          = "3.13"
        release_trigger = "1"
      }
    }
  }

  assert {
    condition     = alltrue([for group in local.function_statements : length(jsonencode({ Version = "2012-10-17", Statement = group })) <= 6144]) && length(local.function_statements) <= 11
    error_message = "Policies: ${jsonencode([for group in local.function_statements : length(jsonencode(group))])}"
  }
  assert {
    condition = toset(flatten([for group in local.function_statements : group[1].Resource])) == toset(flatten([
      for function in values(var.functions) : [for suffix in ["", ":*"] : "arn:aws:lambda:eu-central-1:123456789012:function:${function.name}${suffix}"]
    ]))
    error_message = "Each function may be released."
  }
}

run "pattern_of_a_model_with_many_aliases_fits_eventbridge" {
  command = plan
  module {
    source = "./modules/releaser"
  }

  variables {
    functions = {
      fraud = {
        name            = "acme-fraud"
        aliases         = [for n in range(100) : "alias-${n}"]
        python          = "3.13"
        release_trigger = "1"
      }
    }
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.alias_moved["fraud"].event_pattern) <= 2048
    error_message = "Pattern: ${length(aws_cloudwatch_event_rule.alias_moved["fraud"].event_pattern)} characters"
  }
}

run "concurrency_of_zero_is_refused" {
  command = plan
  module {
    source = "./modules/releaser"
  }
  variables {
    reserved_concurrency = 0
  }
  expect_failures = [var.reserved_concurrency]
}

run "name_with_a_dot_is_refused" {
  command = plan
  module {
    source = "./modules/releaser"
  }
  variables {
    name = "acme.releaser"
  }
  expect_failures = [var.name]
}

run "model_too_long_for_an_event_rule_is_refused" {
  command = plan
  module {
    source = "./modules/releaser"
  }
  variables {
    functions = {
      (join("", [for n in range(51) : "m"])) = {
        name            = "f"
        aliases         = ["prod"]
        python          = "3.13"
        release_trigger = "1"
      }
    }
  }
  expect_failures = [var.functions]
}

run "interval_of_zero_is_refused" {
  command = plan
  module {
    source = "./modules/releaser"
  }
  variables {
    reconcile_interval_minutes = 0
  }
  expect_failures = [var.reconcile_interval_minutes]
}

run "full_interval_of_a_minute_is_refused" {
  command = plan
  module {
    source = "./modules/releaser"
  }
  variables {
    full_reconcile_interval_minutes = 1
  }
  expect_failures = [var.full_reconcile_interval_minutes]
}

run "interval_of_a_week_is_refused" {
  command = plan
  module {
    source = "./modules/releaser"
  }
  variables {
    reconcile_interval_minutes = 10080
  }
  expect_failures = [var.reconcile_interval_minutes]
}

run "deployment_with_a_file_system_names_its_stager_which_may_be_invoked" {
  module {
    source = "./modules/releaser"
  }
  variables {
    stager = { name = "acme_stager", arn = "arn:aws:lambda:eu-central-1:123456789012:function:acme_stager" }
    functions = {
      embed = {
        name            = "acme-embed"
        aliases         = ["prod"]
        python          = "3.13"
        release_trigger = "1"
        file_system     = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
      }
    }
  }

  assert {
    condition = (
      jsondecode(aws_s3_object.deployment["embed"].content).stager == "acme_stager"
      && jsondecode(aws_s3_object.deployment["embed"].content).file_system == "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1"
    )
    error_message = "Deployment: ${aws_s3_object.deployment["embed"].content}"
  }
  assert {
    condition = [for s in jsondecode(module.lambda.policies[0]).Statement : s.Resource if s.Sid == "Stage"] == [
      "arn:aws:lambda:eu-central-1:123456789012:function:acme_stager",
    ]
    error_message = "Policy: ${module.lambda.policies[0]}"
  }
}

run "file_system_without_a_stager_is_refused" {
  command = plan
  module {
    source = "./modules/releaser"
  }
  variables {
    functions = {
      embed = {
        name            = "acme-embed"
        aliases         = ["prod"]
        python          = "3.13"
        release_trigger = "1"
        file_system     = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
      }
    }
  }
  expect_failures = [var.stager]
}

run "sweep_minutes_is_refused_under_its_old_name" {
  command = plan
  module {
    source = "./modules/releaser"
  }
  variables {
    sweep_minutes = 5
  }
  expect_failures = [var.sweep_minutes]
}

run "registry_in_another_region_has_records_from_the_releaser_and_sends_no_events" {
  module {
    source = "./modules/releaser"
  }
  variables {
    registry = {
      bucket       = "acme-models"
      uri          = "s3://acme-models/ml"
      region       = "us-west-2"
      bucket_arn   = "arn:aws:s3:::acme-models"
      root         = "ml/"
      kms_key_arns = []
    }
  }

  assert {
    condition     = length(aws_s3_object.deployment) == 0 && length(aws_cloudwatch_event_rule.alias_moved) == 0 && length(aws_cloudwatch_event_target.alias_moved) == 0
    error_message = "Terraform writes no object there, and no event comes from there."
  }
  assert {
    condition = jsondecode(aws_lambda_invocation.deployment["fraud"].input) == {
      shearling = "deployment"
      key       = "deployments/123456789012-eu-central-1-acme-fraud-0a1b2c3d.json"
      record = {
        account  = "123456789012"
        aliases  = ["prod", "staging"]
        api_url  = "https://example.com"
        function = "acme-fraud"
        model    = "fraud"
        region   = "eu-central-1"
        releaser = "acme_releaser"
        runtime  = "python3.13"
      }
    }
    error_message = "Record: ${aws_lambda_invocation.deployment["fraud"].input}"
  }
  assert {
    condition = [for statement in jsondecode(module.lambda.policies[0]).Statement : statement.Resource if statement.Sid == "RecordDeployments"] == [
      "arn:aws:s3:::acme-models/ml/deployments/123456789012-eu-central-1-*-????????.json",
    ]
    error_message = "Policy: ${module.lambda.policies[0]}"
  }
}

run "functions_with_endpoints_need_their_common_prefix" {
  command = plan
  module {
    source = "./modules/releaser"
  }
  variables {
    functions = {
      fraud = {
        name            = "acme-fraud"
        aliases         = ["prod"]
        python          = "3.13"
        release_trigger = "1"
        sagemaker = {
          role_arn      = "arn:aws:iam::123456789012:role/acme-fraud_endpoint-1"
          image_uri     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f"
          instance_type = "ml.m5.xlarge"
          instances     = { min = 1, max = 4, target = 600 }
          keep_minutes  = 30
          environment   = { SHEARLING_REGISTRY = "s3://acme-models/ml" }
        }
      }
    }
    endpoint_prefix = "beta-"
  }
  expect_failures = [var.endpoint_prefix]
}
