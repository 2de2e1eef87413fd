# One model's function: its aliases, its environment, and what is refused.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name = "acme-fraud"
  registry = {
    bucket       = "acme-models"
    uri          = "s3://acme-models/ml"
    bucket_arn   = "arn:aws:s3:::acme-models"
    root         = "ml/"
    kms_key_arns = []
  }
  package = { bucket = "acme-models", key = "packages/1.zip", source_code_hash = "aGFzaA==" }
  aliases = { prod = {}, staging = {} }
}

run "function_knows_its_registry_and_nothing_of_its_model" {
  module {
    source = "./modules/function"
  }

  assert {
    condition     = module.lambda.environment == tomap({ SHEARLING_REGISTRY = "s3://acme-models/ml" })
    error_message = "Environment: ${jsonencode(module.lambda.environment)}"
  }
  assert {
    condition     = sort(keys(aws_lambda_alias.model)) == tolist(["prod", "staging"]) && length(aws_lambda_provisioned_concurrency_config.model) == 0
    error_message = "Two aliases, and no provisioned concurrency by default."
  }
  assert {
    condition     = output.log_group_name == "/aws/lambda/acme-fraud"
    error_message = "Log group: ${output.log_group_name}"
  }
}

run "role_may_log_and_read_blobs_and_nothing_else" {
  module {
    source = "./modules/function"
  }

  assert {
    condition = [for s in jsondecode(module.lambda.policies[0]).Statement : [s.Sid, s.Action, s.Resource]] == [
      ["Log", ["logs:CreateLogStream", "logs:PutLogEvents"], "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/acme-fraud:*"],
      ["ReadRegistry", "s3:GetObject", ["arn:aws:s3:::acme-models/ml/blobs/*"]],
      ["ListRegistry", "s3:ListBucket", "arn:aws:s3:::acme-models"],
    ]
    error_message = "Policy: ${module.lambda.policies[0]}"
  }
}

run "pickles_are_loaded_only_when_allowed" {
  module {
    source = "./modules/function"
  }

  variables {
    allow_pickle = true
    environment  = { OMP_NUM_THREADS = "2" }
  }

  assert {
    condition = module.lambda.environment == tomap({
      OMP_NUM_THREADS        = "2"
      SHEARLING_ALLOW_PICKLE = "true"
      SHEARLING_REGISTRY     = "s3://acme-models/ml"
    })
    error_message = "Environment: ${jsonencode(module.lambda.environment)}"
  }
}

run "alias_keeps_sandboxes_warm_when_asked_for" {
  module {
    source = "./modules/function"
  }

  variables {
    aliases = { prod = { provisioned_concurrency = 2 }, staging = {} }
  }

  assert {
    condition     = { for alias, warm in aws_lambda_provisioned_concurrency_config.model : alias => warm.provisioned_concurrent_executions } == { prod = 2 }
    error_message = "Provisioned concurrency belongs to the alias that asked for it."
  }
}

run "function_as_it_was" {
  module {
    source = "./modules/function"
  }
}

run "release_trigger_changes_with_the_code" {
  module {
    source = "./modules/function"
  }

  variables {
    package = { bucket = "acme-models", key = "packages/2.zip", source_code_hash = "b3RoZXI=" }
  }

  assert {
    condition     = output.release_trigger != run.function_as_it_was.release_trigger
    error_message = "New code must be released."
  }
}

run "release_trigger_changes_with_the_environment" {
  module {
    source = "./modules/function"
  }

  variables {
    environment = { OMP_NUM_THREADS = "2" }
  }

  assert {
    condition     = output.release_trigger != run.function_as_it_was.release_trigger
    error_message = "A new configuration must be released."
  }
}

run "release_trigger_changes_with_the_prefix_of_the_role_that_it_replaces" {
  module {
    source = "./modules/function"
  }

  variables {
    options = { role_name_prefix = "team-" }
  }

  assert {
    condition     = output.release_trigger != run.function_as_it_was.release_trigger
    error_message = "Published versions would keep the ARN of a role that is gone."
  }
}

run "function_with_a_given_role" {
  module {
    source = "./modules/function"
  }

  variables {
    role = { arn = "arn:aws:iam::123456789012:role/serve" }
  }
}

run "release_trigger_stays_when_a_prefix_changes_no_role" {
  module {
    source = "./modules/function"
  }

  variables {
    role    = { arn = "arn:aws:iam::123456789012:role/serve" }
    options = { role_name_prefix = "team-" }
  }

  assert {
    condition     = output.release_trigger == run.function_with_a_given_role.release_trigger
    error_message = "A given role keeps its name."
  }
}

run "release_trigger_stays_when_only_an_alias_is_added" {
  module {
    source = "./modules/function"
  }

  variables {
    aliases = { prod = {}, staging = {}, canary = {} }
  }

  assert {
    condition     = output.release_trigger == run.function_as_it_was.release_trigger
    error_message = "A new alias is no reason to release the others."
  }
}

run "function_without_an_alias_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases = {}
  }
  expect_failures = [var.aliases]
}

run "alias_in_capitals_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases = { Prod = {} }
  }
  expect_failures = [var.aliases]
}

run "alias_that_begins_with_a_digit_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases = { "7" = {} }
  }
  expect_failures = [var.aliases]
}

run "alias_called_latest_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases = { latest = {} }
  }
  expect_failures = [var.aliases]
}

run "alias_called_like_a_folder_of_the_registry_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases = { versions = {} }
  }
  expect_failures = [var.aliases]
}

run "misspelt_attribute_of_an_alias_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases = { prod = { provisioned_concurency = 2 } }
  }
  expect_failures = [var.aliases]
}

run "provisioned_concurrency_of_zero_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases = { prod = { provisioned_concurrency = 0 } }
  }
  expect_failures = [var.aliases]
}

run "half_a_sandbox_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases = { prod = { provisioned_concurrency = 1.5 } }
  }
  expect_failures = [var.aliases]
}

run "no_reserved_concurrency_at_all_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    reserved_concurrency = 0
  }
  expect_failures = [var.reserved_concurrency]
}

run "as_much_provisioned_as_reserved_concurrency_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases              = { prod = { provisioned_concurrency = 2 }, staging = { provisioned_concurrency = 2 } }
    reserved_concurrency = 4
  }
  expect_failures = [var.reserved_concurrency]
}

run "snap_start_with_provisioned_concurrency_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    snap_start = true
    aliases    = { prod = { provisioned_concurrency = 1 } }
  }
  expect_failures = [var.snap_start]
}

run "snap_start_with_a_large_tmp_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    snap_start           = true
    ephemeral_storage_mb = 1024
  }
  expect_failures = [var.snap_start]
}

run "environment_cannot_set_the_pin" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    environment = { SHEARLING_MODEL = "fraud:7" }
  }
  expect_failures = [var.environment]
}

run "environment_cannot_set_what_is_lambdas" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    environment = { AWS_REGION = "us-east-1" }
  }
  expect_failures = [var.environment]
}

run "file_system_is_mounted_for_reading" {
  module {
    source = "./modules/function"
  }
  variables {
    vpc         = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    file_system = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
  }

  assert {
    condition     = [for s in jsondecode(module.lambda.policies[0]).Statement : s.Action if endswith(s.Sid, "FileSystem")] == [["elasticfilesystem:ClientMount"]]
    error_message = "Policy: ${module.lambda.policies[0]}"
  }
  assert {
    condition     = module.lambda.environment["SHEARLING_MOUNT"] == "/mnt/models"
    error_message = "Environment: ${jsonencode(module.lambda.environment)}"
  }
}

run "snap_start_with_a_file_system_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    snap_start  = true
    vpc         = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    file_system = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
  }
  expect_failures = [var.snap_start]
}

run "names_of_variables_that_lambda_does_not_take_are_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    environment = { "my-key" = "1" }
  }
  expect_failures = [var.environment]
}
run "provisioned_concurrency_that_is_no_number_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    aliases = { prod = { provisioned_concurrency = "two" } }
  }
  expect_failures = [var.aliases]
}

run "network_is_refused_under_its_old_name" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    network = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  }
  expect_failures = [var.network]
}

run "endpoint_of_others_is_named_and_may_be_invoked" {
  module {
    source = "./modules/function"
  }
  variables {
    endpoint_name = "Legacy-Scorer"
  }

  assert {
    condition     = module.lambda.environment["SHEARLING_ENDPOINT"] == "Legacy-Scorer"
    error_message = "Environment: ${jsonencode(module.lambda.environment)}"
  }
  assert {
    condition = [for s in jsondecode(module.lambda.policies[0]).Statement : [s.Effect, s.Action, s.Resource] if s.Sid == "InvokeEndpoint"] == [
      ["Allow", "sagemaker:InvokeEndpoint", "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/legacy-scorer"],
    ]
    error_message = "Policy: ${module.lambda.policies[0]}"
  }
}

run "endpoint_is_given_by_name" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    endpoint_name = "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/legacy"
  }
  expect_failures = [var.endpoint_name]
}

run "endpoint_excludes_pickles" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    endpoint_name = "legacy"
    allow_pickle  = true
  }
  expect_failures = [var.endpoint_name]
}

run "endpoint_excludes_snap_start" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    endpoint_name = "legacy"
    snap_start    = true
  }
  expect_failures = [var.endpoint_name]
}

run "endpoint_excludes_a_file_system" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    endpoint_name = "legacy"
    vpc           = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    file_system   = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
  }
  expect_failures = [var.endpoint_name]
}

run "an_image_runs_the_handler_in_place_of_a_package" {
  module {
    source = "./modules/function"
  }

  variables {
    package   = null
    image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
  }

  assert {
    condition     = output.release_trigger != run.function_knows_its_registry_and_nothing_of_its_model.release_trigger
    error_message = "Another image is released as another package is."
  }
}

run "an_image_with_a_snapshot_is_refused" {
  command = plan

  module {
    source = "./modules/function"
  }

  variables {
    package    = null
    snap_start = true
    image_uri  = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
  }

  expect_failures = [var.snap_start]
}

run "an_image_with_code_signing_is_refused" {
  command = plan

  module {
    source = "./modules/function"
  }

  variables {
    package   = null
    options   = { code_signing_config_arn = "arn:aws:lambda:eu-central-1:123456789012:code-signing-config:csc-0f6c334abcdea4d8b" }
    image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
  }

  expect_failures = [var.image_uri]
}

run "function_calls_the_endpoints_named_after_it_and_no_others" {
  module {
    source = "./modules/function"
  }
  variables {
    has_endpoints = true
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.endpoints[0].policy).Statement == [{
      Sid      = "InvokeEndpoint"
      Effect   = "Allow"
      Action   = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync"]
      Resource = "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/acme-fraud-????????"
    }]
    error_message = "Policy: ${aws_iam_role_policy.endpoints[0].policy}"
  }
  assert {
    condition     = length(output.role_policies) == 2 && output.role_policies[1] == aws_iam_role_policy.endpoints[0].policy
    error_message = "Policies: ${jsonencode(output.role_policies)}"
  }
}

run "given_role_gets_that_policy_from_its_owner" {
  module {
    source = "./modules/function"
  }
  variables {
    has_endpoints = true
    role          = { arn = "arn:aws:iam::123456789012:role/given" }
  }

  assert {
    condition     = length(aws_iam_role_policy.endpoints) == 0 && length(output.role_policies) == 2
    error_message = "Policies: ${jsonencode(output.role_policies)}"
  }
}
