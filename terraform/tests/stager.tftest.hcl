# What the stager may do, and who hears of it.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name         = "acme_stager"
  registry     = { bucket = "acme-models", prefix = "ml" }
  package      = { bucket = "acme-models", key = "packages/1.zip", source_code_hash = "aGFzaA==" }
  network      = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
  file_system  = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
  releaser_arn = "arn:aws:lambda:eu-central-1:123456789012:function:acme_releaser"
}

run "role_may_read_blobs_write_the_file_system_and_nothing_else" {
  module {
    source = "./modules/stager"
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.stager.policy) == {
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
        {
          Sid    = "StandInNetwork"
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
          Sid    = "NotForItsCode"
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
          Condition = { ArnLike = { "lambda:SourceFunctionArn" = ["arn:*:lambda:*:*:function:acme_stager", "arn:*:lambda:*:*:function:acme_stager:*"] } }
        },
        {
          Sid       = "WriteFileSystem"
          Effect    = "Allow"
          Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
          Resource  = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/*"
          Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" } }
        },
      ]
    }
    error_message = "Policy: ${aws_iam_role_policy.stager.policy}"
  }
}

run "role_may_use_the_key_of_the_bucket" {
  module {
    source = "./modules/stager"
  }
  variables {
    registry = { bucket = "acme-models", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234" }
  }

  assert {
    condition     = [for s in jsondecode(aws_iam_role_policy.stager.policy).Statement : s.Action if s.Sid == "DecryptBlobs"] == ["kms:Decrypt"]
    error_message = "Policy: ${aws_iam_role_policy.stager.policy}"
  }
}

run "releaser_hears_of_every_end_and_nothing_is_tried_twice" {
  module {
    source = "./modules/stager"
  }

  assert {
    condition = (
      aws_lambda_function_event_invoke_config.stager.maximum_retry_attempts == 0
      && aws_lambda_function_event_invoke_config.stager.destination_config[0].on_success[0].destination == var.releaser_arn
      && aws_lambda_function_event_invoke_config.stager.destination_config[0].on_failure[0].destination == var.releaser_arn
    )
    error_message = "Lambda takes word to the releaser."
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.report.policy).Statement == [
      { Action = "lambda:InvokeFunction", Effect = "Allow", Resource = var.releaser_arn, Sid = "Report" },
    ]
    error_message = "Policy: ${aws_iam_role_policy.report.policy}"
  }
}

run "stager_has_all_the_time_there_is_and_the_mount" {
  module {
    source = "./modules/stager"
  }

  assert {
    condition = (
      aws_lambda_function.stager.timeout == 900
      && aws_lambda_function.stager.file_system_config[0].local_mount_path == "/mnt/models"
      && aws_lambda_function.stager.environment[0].variables["SHEARLING_MOUNT"] == "/mnt/models"
      && aws_lambda_function.stager.handler == "shearling_runtime.stager.handler"
    )
    error_message = "The function as it must be."
  }
}

run "name_with_a_dot_is_refused" {
  command = plan
  module {
    source = "./modules/stager"
  }
  variables {
    name = "acme.stager"
  }
  expect_failures = [var.name]
}

run "python_below_3_12_is_refused" {
  command = plan
  module {
    source = "./modules/stager"
  }
  variables {
    python = "3.11"
  }
  expect_failures = [var.python]
}

run "unknown_architecture_is_refused" {
  command = plan
  module {
    source = "./modules/stager"
  }
  variables {
    architecture = "amd64"
  }
  expect_failures = [var.architecture]
}

run "too_little_memory_is_refused" {
  command = plan
  module {
    source = "./modules/stager"
  }
  variables {
    memory_mb = 256
  }
  expect_failures = [var.memory_mb]
}

run "retention_that_cloudwatch_does_not_offer_is_refused" {
  command = plan
  module {
    source = "./modules/stager"
  }
  variables {
    log_retention_days = 31
  }
  expect_failures = [var.log_retention_days]
}
