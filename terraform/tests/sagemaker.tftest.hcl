# Endpoints: what the releaser makes them of, what their containers may do, and what is refused.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  models = {
    fraud = {
      function_name = "acme-fraud"
      aliases       = ["prod", "staging"]
      image_uri     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
      instance_type = "ml.m5.xlarge"
      keep_minutes  = 30
    }
  }
  registry = {
    bucket       = "acme-models"
    uri          = "s3://acme-models/ml"
    bucket_arn   = "arn:aws:s3:::acme-models"
    root         = "ml/"
    kms_key_arns = []
  }
  function_names     = { fraud = "acme-fraud" }
  log_retention_days = 30
}

run "endpoint_has_one_instance_unless_it_says_more" {
  module {
    source = "./modules/sagemaker"
  }

  assert {
    condition = output.endpoints["fraud"].instances == { min = 1, max = 1, target = 600 } && output.endpoints["fraud"].serverless == null && output.endpoints["fraud"].environment == {
      SHEARLING_REGISTRY = "s3://acme-models/ml"
    }
    error_message = "Endpoint: ${jsonencode(output.endpoints)}"
  }
}

run "containers_read_blobs_pull_their_image_and_write_their_log_and_nothing_else" {
  module {
    source = "./modules/sagemaker"
  }

  assert {
    condition = [for s in jsondecode(output.role_policies["fraud"]).Statement : [s.Sid, s.Action, s.Resource]] == [
      ["Log", ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/sagemaker/Endpoints/acme-fraud-????????:*"],
      ["PullImage", ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], "arn:aws:ecr:eu-central-1:123456789012:repository/models"],
      ["LogInToRegistryOfImages", "ecr:GetAuthorizationToken", "*"],
      ["ReadRegistry", "s3:GetObject", "arn:aws:s3:::acme-models/ml/blobs/*"],
      ["ListRegistry", "s3:ListBucket", "arn:aws:s3:::acme-models"],
    ]
    error_message = "Policy: ${output.role_policies["fraud"]}"
  }
  assert {
    condition     = jsondecode(aws_iam_role.endpoint["fraud"].assume_role_policy).Statement[0].Principal.Service == "sagemaker.amazonaws.com"
    error_message = "Trust: ${aws_iam_role.endpoint["fraud"].assume_role_policy}"
  }
}

run "each_alias_has_an_alarm_for_what_its_callers_see" {
  module {
    source = "./modules/sagemaker"
  }

  assert {
    condition = tomap({ for key, alarm in aws_cloudwatch_metric_alarm.errors : key => alarm.dimensions.alias }) == tomap({
      "fraud:prod" = "prod", "fraud:staging" = "staging",
    })
    error_message = "Alarms: ${jsonencode(keys(aws_cloudwatch_metric_alarm.errors))}"
  }
}

run "serverless_endpoint_has_no_instances" {
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instance_type = null, serverless = { memory_mb = 6144, max_concurrency = 20 } }) }
  }

  assert {
    condition     = output.endpoints["fraud"].instances == null && output.endpoints["fraud"].serverless == { memory_mb = 6144, max_concurrency = 20 }
    error_message = "Endpoint: ${jsonencode(output.endpoints)}"
  }
}

run "pickle_network_key_and_other_region_reach_the_container" {
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = {
      fraud = merge(var.models.fraud, {
        allow_pickle    = true
        environment     = { LEVEL = "1" }
        startup_seconds = 900
        kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/1"
        vpc             = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
      })
    }
    registry = merge(var.registry, { region = "eu-west-1", kms_key_arns = ["arn:aws:kms:eu-west-1:123456789012:key/2"] })
  }

  assert {
    condition = output.endpoints["fraud"].environment == {
      LEVEL = "1", SHEARLING_ALLOW_PICKLE = "true", SHEARLING_REGISTRY = "s3://acme-models/ml", SHEARLING_REGISTRY_REGION = "eu-west-1",
    } && output.endpoints["fraud"].subnet_ids == tolist(["subnet-1"]) && output.endpoints["fraud"].security_group_ids == tolist(["sg-1"]) && output.endpoints["fraud"].startup_seconds == 900
    error_message = "Endpoint: ${jsonencode(output.endpoints)}"
  }
  assert {
    condition = [for s in jsondecode(output.role_policies["fraud"]).Statement : s.Sid if !contains(["Log", "PullImage", "LogInToRegistryOfImages", "ReadRegistry", "ListRegistry"], s.Sid)] == [
      "DecryptRegistry", "ManageNetworkInterfaces",
    ]
    error_message = "Policy: ${output.role_policies["fraud"]}"
  }
}

run "given_role_is_used_and_its_policy_is_an_output" {
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models      = { fraud = merge(var.models.fraud, { role = { arn = "arn:aws:iam::123456789012:role/endpoints" } }) }
    given_roles = ["fraud"]
  }

  assert {
    condition     = output.endpoints["fraud"].role_arn == "arn:aws:iam::123456789012:role/endpoints" && length(aws_iam_role.endpoint) == 0 && length(output.role_policies) == 1
    error_message = "Endpoint: ${jsonencode(output.endpoints)}"
  }
}

run "image_of_another_account_or_region_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { image_uri = replace("123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", "eu-central-1", "eu-west-1") }) }
  }
  expect_failures = [output.endpoints]
}

run "name_too_long_for_an_endpoint_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { function_name = "acme-mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm" }) }
  }
  expect_failures = [var.models]
}

run "name_that_ends_with_a_hyphen_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { function_name = "acme-fraud-" }) }
  }
  expect_failures = [var.models]
}

run "attribute_of_a_function_that_loads_a_model_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { excluded = ["snap_start"] }) }
  }
  expect_failures = [var.models]
}

run "neither_instance_type_nor_serverless_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instance_type = null }) }
  }
  expect_failures = [var.models]
}

run "both_instance_type_and_serverless_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { serverless = { memory_mb = 2048, max_concurrency = 5 } }) }
  }
  expect_failures = [var.models]
}

run "instance_type_of_ec2_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instance_type = "m5.xlarge" }) }
  }
  expect_failures = [var.models]
}

run "image_by_a_tag_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models:1" }) }
  }
  expect_failures = [var.models]
}

run "no_image_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { image_uri = null }) }
  }
  expect_failures = [var.models]
}

run "memory_between_the_steps_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instance_type = null, serverless = { memory_mb = 1536, max_concurrency = 5 } }) }
  }
  expect_failures = [var.models]
}

run "memory_of_an_instance_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instance_type = null, serverless = { memory_mb = 8192, max_concurrency = 5 } }) }
  }
  expect_failures = [var.models]
}

run "more_concurrency_than_sagemaker_has_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instance_type = null, serverless = { memory_mb = 2048, max_concurrency = 201 } }) }
  }
  expect_failures = [var.models]
}

run "serverless_in_a_network_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instance_type = null, serverless = { memory_mb = 2048, max_concurrency = 5 }, vpc = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] } }) }
  }
  expect_failures = [var.models]
}

run "serverless_with_instances_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instance_type = null, serverless = { memory_mb = 2048, max_concurrency = 5 }, instances = { min = 1 } }) }
  }
  expect_failures = [var.models]
}

run "fewer_instances_at_most_than_at_least_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instances = { min = 3, max = 2 } }) }
  }
  expect_failures = [var.models]
}

run "negative_number_of_instances_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instances = { min = -1 } }) }
  }
  expect_failures = [var.models]
}

run "target_of_nothing_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instances = { min = 1, max = 2, target = 0 } }) }
  }
  expect_failures = [var.models]
}

run "asynchronous_endpoint_follows_its_backlog_and_answers_in_the_bucket_of_jobs" {
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instances = { min = 0 }, has_jobs = true, timeout_seconds = 900, calls_uri = "s3://acme-fraud-jobs/calls" }) }
  }

  assert {
    condition     = output.endpoints["fraud"].instances == { min = 0, max = 1, target = 5 } && output.endpoints["fraud"].calls_uri == "s3://acme-fraud-jobs/calls" && output.endpoints["fraud"].environment["SHEARLING_TIMEOUT_SECONDS"] == "900"
    error_message = "Endpoint: ${jsonencode(output.endpoints)}"
  }
  assert {
    condition = [for s in jsondecode(output.role_policies["fraud"]).Statement : [s.Sid, s.Action, s.Resource] if contains(["AnswerCalls", "FindCalls"], s.Sid)] == [
      ["AnswerCalls", ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], "arn:aws:s3:::acme-fraud-jobs/calls/*"],
      ["FindCalls", "s3:ListBucket", "arn:aws:s3:::acme-fraud-jobs"],
    ]
    error_message = "Policy: ${output.role_policies["fraud"]}"
  }
}

run "scale_to_zero_without_jobs_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instances = { min = 0, max = 2 }, has_events = true, timeout_seconds = 900 }) }
  }
  expect_failures = [var.models]
}

run "scale_to_zero_with_events_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instances = { min = 0, max = 2 }, has_jobs = true, has_events = true, timeout_seconds = 900 }) }
  }
  expect_failures = [var.models]
}

run "scale_to_zero_with_batch_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instances = { min = 0, max = 2 }, has_jobs = true, has_batch = true, timeout_seconds = 900 }) }
  }
  expect_failures = [var.models]
}

run "scale_to_zero_with_little_time_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { instances = { min = 0, max = 2 }, has_jobs = true, timeout_seconds = 60 }) }
  }
  expect_failures = [var.models]
}

run "timeout_beyond_a_minute_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { timeout_seconds = 300 }) }
  }
  expect_failures = [var.models]
}

run "keeping_for_more_than_a_day_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { keep_minutes = 1441 }) }
  }
  expect_failures = [var.models]
}

run "start_of_more_than_an_hour_is_refused" {
  command = plan
  module {
    source = "./modules/sagemaker"
  }
  variables {
    models = { fraud = merge(var.models.fraud, { startup_seconds = 3601 }) }
  }
  expect_failures = [var.models]
}
