# What every function of ours has: role, environment, log group, and what is refused.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "acme-fraud"
  description        = "Serves a model."
  handler            = "shearling_runtime.handler.handler"
  package            = { bucket = "acme-models", key = "packages/1.zip", source_code_hash = "aGFzaA==" }
  policy_name        = "function"
  python             = "3.13"
  architecture       = "x86_64"
  memory_mb          = 1024
  timeout_seconds    = 30
  log_retention_days = 30

  registry = {
    bucket       = "acme-models"
    uri          = "s3://acme-models/ml"
    bucket_arn   = "arn:aws:s3:::acme-models"
    root         = "ml/"
    kms_key_arns = []
  }
  registry_folders = ["blobs"]
}

run "function_runs_the_given_handler_and_logs_to_its_group" {
  module {
    source = "./modules/lambda"
  }

  assert {
    condition = (
      aws_lambda_function.function.handler == "shearling_runtime.handler.handler" && aws_lambda_function.function.runtime == "python3.13"
      && tolist(aws_lambda_function.function.architectures) == tolist(["x86_64"]) && !aws_lambda_function.function.publish
    )
    error_message = "Handler, Python and processor are as given, and nothing is published by default."
  }
  assert {
    condition     = aws_lambda_function.function.logging_config[0].log_group == "/aws/lambda/acme-fraud" && aws_lambda_function.function.logging_config[0].log_format == "JSON"
    error_message = "The function logs JSON to its own group."
  }
  assert {
    condition     = aws_lambda_function.function.reserved_concurrent_executions == -1
    error_message = "No concurrency is reserved by default."
  }
}

run "function_is_published_with_reserved_concurrency_and_snapshots_if_asked_for" {
  module {
    source = "./modules/lambda"
  }
  variables {
    publish              = true
    reserved_concurrency = 3
    snap_start           = true
    ephemeral_storage_mb = 1024
  }

  assert {
    condition = (
      aws_lambda_function.function.publish
      && aws_lambda_function.function.reserved_concurrent_executions == 3
      && aws_lambda_function.function.snap_start[0].apply_on == "PublishedVersions"
      && aws_lambda_function.function.ephemeral_storage[0].size == 1024
    )
    error_message = "The function has what was asked for."
  }
}

run "role_may_log_and_read_the_given_folders_and_nothing_else" {
  module {
    source = "./modules/lambda"
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.function[0].policy) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/acme-fraud:*"
        },
        {
          Sid      = "ReadRegistry"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = ["arn:aws:s3:::acme-models/ml/blobs/*"]
        },
        {
          Sid       = "ListRegistry"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = "arn:aws:s3:::acme-models"
          Condition = { StringLike = { "s3:prefix" = ["ml/blobs/*"] } }
        },
      ]
    }
    error_message = "Policy: ${aws_iam_role_policy.function[0].policy}"
  }
  assert {
    condition = jsondecode(aws_iam_role.function[0].assume_role_policy).Statement == [
      { Action = "sts:AssumeRole", Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" } },
    ]
    error_message = "Only Lambda may assume the role."
  }
  assert {
    condition     = tomap(aws_lambda_function.function.environment[0].variables) == tomap({ SHEARLING_REGISTRY = "s3://acme-models/ml" })
    error_message = "Environment: ${jsonencode(aws_lambda_function.function.environment[0].variables)}"
  }
}

run "length_of_the_policy_is_known_at_plan" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    name = "acme-other"
  }

  assert {
    condition     = length(aws_iam_role_policy.function[0].policy) < 10240
    error_message = "The policy is known before anything exists."
  }
}

run "caller_adds_statements" {
  module {
    source = "./modules/lambda"
  }
  variables {
    policy_statements = [
      { Sid = "Send", Effect = "Allow", Action = "sqs:SendMessage", Resource = "arn:aws:sqs:eu-central-1:123456789012:queue" },
      { Sid = "Invoke", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = ["*"], Condition = { Bool = { "aws:SecureTransport" = "true" } } },
    ]
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.function[0].policy).Statement : s.Sid] == ["Log", "ReadRegistry", "ListRegistry", "Send", "Invoke"]
    error_message = "Policy: ${aws_iam_role_policy.function[0].policy}"
  }
}

run "what_one_policy_has_no_room_for_is_in_managed_policies" {
  module {
    source = "./modules/lambda"
  }
  variables {
    registry_folders = [for n in range(30) : "releases/123456789012-eu-central-1-acme-${n}-????????"]
    managed_policies = [[{ Sid = "Send", Effect = "Allow", Action = "sqs:SendMessage", Resource = "arn:aws:sqs:eu-central-1:123456789012:queue" }]]
  }

  assert {
    condition     = [for policy in aws_iam_policy.function : jsondecode(policy.policy).Statement[0].Sid] == ["ReadRegistry", "ReadRegistry", "Send"]
    error_message = "Policies: ${jsonencode(aws_iam_policy.function[*].policy)}"
  }
  assert {
    condition = toset(flatten([
      for policy in concat(aws_iam_policy.function[*].policy, aws_iam_role_policy.function[*].policy) : [
        for statement in jsondecode(policy).Statement : statement.Resource if statement.Sid == "ReadRegistry"
      ]
    ])) == toset([for folder in var.registry_folders : "arn:aws:s3:::acme-models/ml/${folder}/*"])
    error_message = "Every folder may be read."
  }
  assert {
    condition     = length(aws_iam_role_policy_attachment.function) == 3
    error_message = "The role has each policy."
  }
  assert {
    condition     = output.policies == concat(aws_iam_role_policy.function[*].policy, aws_iam_policy.function[*].policy)
    error_message = "A role that is given needs all of them: ${jsonencode(output.policies)}"
  }
}

run "more_policies_than_a_role_can_have_are_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    managed_policies = [for n in range(11) : [{ Sid = "Send", Effect = "Allow", Action = "sqs:SendMessage", Resource = "*" }]]
  }
  expect_failures = [aws_iam_policy.function]
}

run "longer_policy_than_a_role_can_have_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    policy_statements = [for n in range(200) : { Sid = "Send${n}", Effect = "Allow", Action = "sqs:SendMessage", Resource = "*" }]
  }
  expect_failures = [aws_iam_role_policy.function]
}

run "role_may_decrypt_with_every_key_of_the_registry" {
  module {
    source = "./modules/lambda"
  }
  variables {
    registry = {
      uri          = "s3://acme-models"
      bucket_arn   = "arn:aws:s3:::acme-models"
      root         = ""
      kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/1234", "arn:aws:kms:eu-central-1:123456789012:key/5678"]
    }
  }

  assert {
    condition = [for s in jsondecode(aws_iam_role_policy.function[0].policy).Statement : [s.Action, s.Resource, s.Condition] if s.Sid == "DecryptRegistry"] == [
      [
        "kms:Decrypt",
        ["arn:aws:kms:eu-central-1:123456789012:key/1234", "arn:aws:kms:eu-central-1:123456789012:key/5678"],
        { StringLike = { "kms:ViaService" = "s3.*.amazonaws.com" } },
      ],
    ]
    error_message = "Policy: ${aws_iam_role_policy.function[0].policy}"
  }
}

run "file_system_is_mounted_for_reading_inside_the_vpc" {
  module {
    source = "./modules/lambda"
  }
  variables {
    vpc         = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    file_system = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
  }

  assert {
    condition = [for s in jsondecode(aws_iam_role_policy.function[0].policy).Statement : s if s.Sid == "ReadFileSystem"] == [
      {
        Sid       = "ReadFileSystem"
        Effect    = "Allow"
        Action    = ["elasticfilesystem:ClientMount"]
        Resource  = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/*"
        Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" } }
      },
    ]
    error_message = "Policy: ${aws_iam_role_policy.function[0].policy}"
  }
  assert {
    condition = [for s in jsondecode(aws_iam_role_policy.function[0].policy).Statement : s if endswith(s.Sid, "NetworkInterfaces") || endswith(s.Sid, "Code")] == [
      {
        Sid    = "ManageNetworkInterfaces"
        Effect = "Allow"
        Action = [
          "ec2:AssignPrivateIpAddresses",
          "ec2:CreateNetworkInterface",
          "ec2:DeleteNetworkInterface",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeSubnets",
          "ec2:UnassignPrivateIpAddresses",
        ]
        Resource = "*"
      },
      {
        Sid    = "DenyNetworkInterfacesToCode"
        Effect = "Deny"
        Action = [
          "ec2:AssignPrivateIpAddresses",
          "ec2:CreateNetworkInterface",
          "ec2:DeleteNetworkInterface",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DetachNetworkInterface",
          "ec2:UnassignPrivateIpAddresses",
        ]
        Resource  = "*"
        Condition = { ArnLike = { "lambda:SourceFunctionArn" = ["arn:*:lambda:*:*:function:acme-fraud", "arn:*:lambda:*:*:function:acme-fraud:*"] } }
      },
    ]
    error_message = "Policy: ${aws_iam_role_policy.function[0].policy}"
  }
  assert {
    condition = (
      aws_lambda_function.function.environment[0].variables["SHEARLING_MOUNT"] == "/mnt/models"
      && aws_lambda_function.function.file_system_config[0].local_mount_path == "/mnt/models"
      && aws_lambda_function.function.vpc_config[0].subnet_ids == toset(["subnet-1"])
    )
    error_message = "The function runs in the VPC and knows where the file system is mounted."
  }
}

run "file_system_is_mounted_for_writing_if_asked_for" {
  module {
    source = "./modules/lambda"
  }
  variables {
    vpc         = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    file_system = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1", writable = true }
  }

  assert {
    condition = [for s in jsondecode(aws_iam_role_policy.function[0].policy).Statement : s.Action if s.Sid == "WriteFileSystem"] == [
      ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
    ]
    error_message = "Policy: ${aws_iam_role_policy.function[0].policy}"
  }
}

run "name_with_a_dot_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    name = "acme.fraud"
  }
  expect_failures = [var.name]
}

run "name_too_long_for_lambda_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    name = join("", [for n in range(65) : "a"])
  }
  expect_failures = [var.name]
}

run "environment_cannot_set_the_pin" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    environment = { SHEARLING_MODEL = "fraud:7" }
  }
  expect_failures = [var.environment]
}

run "environment_cannot_set_the_endpoint_of_the_pin" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    environment = { SHEARLING_STAGED_ENDPOINT = "acme-fraud-1a2b3c4d" }
  }
  expect_failures = [var.environment]
}

run "python_below_3_12_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    python = "3.11"
  }
  expect_failures = [var.python]
}

run "unknown_architecture_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    architecture = "amd64"
  }
  expect_failures = [var.architecture]
}

run "too_little_memory_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    memory_mb = 127
  }
  expect_failures = [var.memory_mb]
}

run "too_much_memory_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    memory_mb = 10241
  }
  expect_failures = [var.memory_mb]
}

run "timeout_of_zero_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    timeout_seconds = 0
  }
  expect_failures = [var.timeout_seconds]
}

run "timeout_beyond_15_minutes_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    timeout_seconds = 901
  }
  expect_failures = [var.timeout_seconds]
}

run "too_small_a_tmp_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    ephemeral_storage_mb = 511
  }
  expect_failures = [var.ephemeral_storage_mb]
}

run "too_large_a_tmp_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    ephemeral_storage_mb = 10241
  }
  expect_failures = [var.ephemeral_storage_mb]
}

run "file_system_without_a_vpc_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    file_system = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
  }
  expect_failures = [var.file_system]
}

run "mount_outside_of_mnt_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    vpc         = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    file_system = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1", mount_path = "/models" }
  }
  expect_failures = [var.file_system]
}

run "function_is_told_the_region_of_a_registry_in_another_one" {
  module {
    source = "./modules/lambda"
  }
  variables {
    registry = {
      uri          = "s3://acme-models"
      region       = "us-west-2"
      bucket_arn   = "arn:aws:s3:::acme-models"
      root         = ""
      kms_key_arns = []
    }
  }

  assert {
    condition     = aws_lambda_function.function.environment[0].variables["SHEARLING_REGISTRY_REGION"] == "us-west-2"
    error_message = "Environment: ${jsonencode(aws_lambda_function.function.environment[0].variables)}"
  }
}

run "china_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-cn" }
  }
  expect_failures = [aws_lambda_function.function]
}

run "given_role_is_used_and_gets_no_policy" {
  module {
    source = "./modules/lambda"
  }
  variables {
    role = { arn = "arn:aws:iam::123456789012:role/team/ranker" }
  }

  assert {
    condition     = length(aws_iam_role.function) == 0 && length(aws_iam_role_policy.function) == 0
    error_message = "A role is created."
  }
  assert {
    condition     = aws_lambda_function.function.role == var.role.arn && output.role_arn == var.role.arn && output.role_name == "ranker"
    error_message = "Role: ${aws_lambda_function.function.role}, ${output.role_name}"
  }
  assert {
    condition     = contains([for s in jsondecode(output.policies[0]).Statement : s.Sid], "ReadRegistry")
    error_message = "Policies: ${jsonencode(output.policies)}"
  }
}

run "names_of_roles_have_the_prefix" {
  module {
    source = "./modules/lambda"
  }
  variables {
    options = { role_name_prefix = "team-ml-" }
  }

  assert {
    condition     = aws_iam_role.function[0].name_prefix == "team-ml-acme-fraud-"
    error_message = "Prefix: ${aws_iam_role.function[0].name_prefix}"
  }
}

run "options_are_off_by_default" {
  module {
    source = "./modules/lambda"
  }

  assert {
    condition = alltrue([
      aws_iam_role.function[0].name_prefix == "acme-fraud-",
      aws_lambda_function.function.tracing_config[0].mode == "PassThrough",
      aws_lambda_function.function.kms_key_arn == null,
      aws_lambda_function.function.code_signing_config_arn == null,
      aws_lambda_function.function.logging_config[0].application_log_level == null,
      aws_lambda_function.function.logging_config[0].system_log_level == null,
      length(aws_lambda_function.function.tags) == 0,
      !strcontains(output.policies[0], "xray"),
      !strcontains(output.policies[0], "kms"),
    ])
    error_message = "Function: ${jsonencode(aws_lambda_function.function.tracing_config)}, ${output.policies[0]}"
  }
}

run "debug_is_the_level_of_both_logs" {
  module {
    source = "./modules/lambda"
  }
  variables {
    options = { log_level = "DEBUG" }
  }

  assert {
    condition     = aws_lambda_function.function.logging_config[0].application_log_level == "DEBUG" && aws_lambda_function.function.logging_config[0].system_log_level == "DEBUG"
    error_message = "Levels: ${jsonencode(aws_lambda_function.function.logging_config)}"
  }
}

run "log_level_that_would_drop_the_metrics_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    options = { log_level = "ERROR" }
  }
  expect_failures = [var.options]
}

run "tracing_that_lambda_does_not_offer_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    options = { tracing = "active" }
  }
  expect_failures = [var.options]
}

run "prefix_of_roles_that_iam_refuses_is_refused" {
  command = plan
  module {
    source = "./modules/lambda"
  }
  variables {
    options = { role_name_prefix = "team/ml/" }
  }
  expect_failures = [var.options]
}

run "an_image_is_started_with_the_handler_as_its_entry" {
  module {
    source = "./modules/lambda"
  }

  variables {
    package   = null
    image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
  }

  assert {
    condition = (
      aws_lambda_function.function.package_type == "Image"
      && aws_lambda_function.function.image_uri == var.image_uri
      && aws_lambda_function.function.runtime == null
      && aws_lambda_function.function.handler == null
      && aws_lambda_function.function.s3_key == null
      && aws_lambda_function.function.image_config[0].entry_point == tolist(["/var/task/python", "-m", "awslambdaric"])
      && aws_lambda_function.function.image_config[0].command == tolist([var.handler])
    )
    error_message = "Function: ${jsonencode(aws_lambda_function.function.image_config)}"
  }
}

run "an_image_in_a_region_of_china_is_admitted" {
  command = plan

  module {
    source = "./modules/lambda"
  }

  variables {
    package   = null
    image_uri = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
  }

  assert {
    condition     = aws_lambda_function.function.image_uri == var.image_uri
    error_message = "Image: ${aws_lambda_function.function.image_uri}"
  }
}

run "neither_a_package_nor_an_image_is_refused" {
  command = plan

  module {
    source = "./modules/lambda"
  }

  variables {
    package = null
  }

  expect_failures = [var.image_uri]
}

run "an_image_by_its_tag_is_refused" {
  command = plan

  module {
    source = "./modules/lambda"
  }

  variables {
    package   = null
    image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models:latest"
  }

  expect_failures = [var.image_uri]
}

run "an_image_that_is_not_in_ecr_is_refused" {
  command = plan

  module {
    source = "./modules/lambda"
  }

  variables {
    package   = null
    image_uri = "example.com/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
  }

  expect_failures = [var.image_uri]
}
