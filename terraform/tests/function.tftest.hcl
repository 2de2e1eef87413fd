# One model's function: what it may do, how it starts, and what is refused.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name     = "acme-fraud"
  registry = { bucket = "acme-models" }
  package  = { bucket = "acme-models", key = "packages/1.zip", source_code_hash = "aGFzaA==" }
  aliases  = { prod = {}, staging = {} }
}

run "function_knows_its_registry_and_nothing_of_its_model" {
  module {
    source = "./modules/function"
  }

  assert {
    condition     = tomap(aws_lambda_function.model.environment[0].variables) == tomap({ SHEARLING_REGISTRY = "s3://acme-models" })
    error_message = "Environment: ${jsonencode(aws_lambda_function.model.environment[0].variables)}"
  }
  assert {
    condition     = aws_lambda_function.model.handler == "shearling_runtime.handler.handler" && aws_lambda_function.model.runtime == "python3.13" && aws_lambda_function.model.publish
    error_message = "The generic handler, on the default Python, with a version to start at."
  }
  assert {
    condition     = aws_lambda_function.model.logging_config[0].log_group == "/aws/lambda/acme-fraud" && aws_cloudwatch_log_group.function.retention_in_days == 30
    error_message = "Logs go to a group that forgets."
  }
  assert {
    condition     = sort(keys(aws_lambda_alias.model)) == tolist(["prod", "staging"]) && length(aws_lambda_provisioned_concurrency_config.model) == 0
    error_message = "Two aliases, and no provisioned concurrency unless asked for."
  }
  assert {
    condition     = aws_lambda_function.model.reserved_concurrent_executions == -1
    error_message = "Nothing is set apart of the account's concurrency unless asked for."
  }
}

run "role_may_log_and_read_blobs_and_nothing_else" {
  module {
    source = "./modules/function"
  }

  variables {
    registry = { bucket = "acme-models", prefix = "ml" }
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.function.policy) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "arn:aws:logs:eu-central-1:123456789012:log-group:mocked:*"
        },
        {
          Sid      = "ReadBlobs"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = "arn:aws:s3:::acme-models/ml/blobs/*"
        },
        {
          Sid       = "ListBlobs"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = "arn:aws:s3:::acme-models"
          Condition = { StringLike = { "s3:prefix" = ["ml/blobs/*"] } }
        },
      ]
    }
    error_message = "Policy: ${aws_iam_role_policy.function.policy}"
  }
  assert {
    condition = jsondecode(aws_iam_role.function.assume_role_policy).Statement == [
      { Action = "sts:AssumeRole", Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" } },
    ]
    error_message = "Only Lambda assumes the role."
  }
  assert {
    condition     = aws_lambda_function.model.environment[0].variables["SHEARLING_REGISTRY"] == "s3://acme-models/ml"
    error_message = "The registry is named with its prefix."
  }
}

run "role_may_decrypt_with_the_key_of_the_bucket" {
  module {
    source = "./modules/function"
  }

  variables {
    registry = { bucket = "acme-models", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234" }
  }

  assert {
    condition = [
      for s in jsondecode(aws_iam_role_policy.function.policy).Statement : [s.Action, s.Resource] if s.Sid == "DecryptBlobs"
    ] == [["kms:Decrypt", ["arn:aws:kms:eu-central-1:123456789012:key/1234"]]]
    error_message = "Policy: ${aws_iam_role_policy.function.policy}"
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
    condition = tomap(aws_lambda_function.model.environment[0].variables) == tomap({
      OMP_NUM_THREADS        = "2"
      SHEARLING_ALLOW_PICKLE = "true"
      SHEARLING_REGISTRY     = "s3://acme-models"
    })
    error_message = "Environment: ${jsonencode(aws_lambda_function.model.environment[0].variables)}"
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

run "snapshot_is_taken_of_published_versions" {
  module {
    source = "./modules/function"
  }

  variables {
    snap_start = true
  }

  assert {
    condition     = aws_lambda_function.model.snap_start[0].apply_on == "PublishedVersions"
    error_message = "SnapStart works on published versions only."
  }
}

run "configuration_as_it_was" {
  module {
    source = "./modules/function"
  }
}

run "configuration_hash_changes_with_the_code" {
  module {
    source = "./modules/function"
  }

  variables {
    package = { bucket = "acme-models", key = "packages/2.zip", source_code_hash = "b3RoZXI=" }
  }

  assert {
    condition     = output.configuration_hash != run.configuration_as_it_was.configuration_hash
    error_message = "New code must be released."
  }
}

run "configuration_hash_changes_with_the_environment" {
  module {
    source = "./modules/function"
  }

  variables {
    environment = { OMP_NUM_THREADS = "2" }
  }

  assert {
    condition     = output.configuration_hash != run.configuration_as_it_was.configuration_hash
    error_message = "A new configuration must be released."
  }
}

run "configuration_hash_stays_when_only_an_alias_is_added" {
  module {
    source = "./modules/function"
  }

  variables {
    aliases = { prod = {}, staging = {}, canary = {} }
  }

  assert {
    condition     = output.configuration_hash == run.configuration_as_it_was.configuration_hash
    error_message = "A new alias is no reason to release the others."
  }
}

run "python_3_11_is_accepted_for_an_emulator" {
  command = plan
  module {
    source = "./modules/function"
  }

  variables {
    python             = "3.11"
    unsupported_python = true
  }

  assert {
    condition     = aws_lambda_function.model.runtime == "python3.11"
    error_message = "The runtime that was asked for."
  }
}

run "name_with_a_dot_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    name = "acme.fraud"
  }
  expect_failures = [var.name]
}

run "name_too_long_for_lambda_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    name = join("", [for n in range(65) : "a"])
  }
  expect_failures = [var.name]
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

run "python_below_3_12_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    python = "3.11"
  }
  expect_failures = [var.python]
}

run "python_below_3_11_is_refused_even_for_an_emulator" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    python             = "3.10"
    unsupported_python = true
  }
  expect_failures = [var.python]
}

run "unknown_architecture_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    architecture = "amd64"
  }
  expect_failures = [var.architecture]
}

run "too_little_memory_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    memory_mb = 127
  }
  expect_failures = [var.memory_mb]
}

run "too_much_memory_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    memory_mb = 10241
  }
  expect_failures = [var.memory_mb]
}

run "timeout_of_zero_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    timeout_seconds = 0
  }
  expect_failures = [var.timeout_seconds]
}

run "timeout_beyond_15_minutes_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    timeout_seconds = 901
  }
  expect_failures = [var.timeout_seconds]
}

run "too_small_a_tmp_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    ephemeral_storage_mb = 511
  }
  expect_failures = [var.ephemeral_storage_mb]
}

run "too_large_a_tmp_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    ephemeral_storage_mb = 10241
  }
  expect_failures = [var.ephemeral_storage_mb]
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

run "concurrency_is_reserved_if_asked_for" {
  module {
    source = "./modules/function"
  }
  variables {
    aliases              = { prod = { provisioned_concurrency = 2 }, staging = {} }
    reserved_concurrency = 3
  }
  assert {
    condition     = aws_lambda_function.model.reserved_concurrent_executions == 3
    error_message = "Reserved: ${aws_lambda_function.model.reserved_concurrent_executions}"
  }
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

run "retention_that_cloudwatch_does_not_offer_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    log_retention_days = 31
  }
  expect_failures = [var.log_retention_days]
}

run "file_system_is_mounted_for_reading" {
  module {
    source = "./modules/function"
  }
  variables {
    network     = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    file_system = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
  }

  assert {
    condition = [for s in jsondecode(aws_iam_role_policy.function.policy).Statement : s if s.Sid == "ReadFileSystem"] == [
      {
        Sid       = "ReadFileSystem"
        Effect    = "Allow"
        Action    = "elasticfilesystem:ClientMount"
        Resource  = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/*"
        Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" } }
      },
    ]
    error_message = "Policy: ${aws_iam_role_policy.function.policy}"
  }
  assert {
    condition     = contains([for s in jsondecode(aws_iam_role_policy.function.policy).Statement : s.Sid], "StandInNetwork")
    error_message = "A function in a VPC needs network interfaces."
  }
  assert {
    condition = (
      aws_lambda_function.model.environment[0].variables["SHEARLING_MOUNT"] == "/mnt/models"
      && aws_lambda_function.model.file_system_config[0].local_mount_path == "/mnt/models"
      && aws_lambda_function.model.vpc_config[0].subnet_ids == toset(["subnet-1"])
    )
    error_message = "The function stands in the network and finds the mount."
  }
}

run "file_system_without_a_network_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    file_system = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
  }
  expect_failures = [var.file_system]
}

run "mount_outside_of_mnt_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    network     = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    file_system = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1", mount_path = "/models" }
  }
  expect_failures = [var.file_system]
}

run "snap_start_with_a_file_system_is_refused" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    snap_start  = true
    network     = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
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
