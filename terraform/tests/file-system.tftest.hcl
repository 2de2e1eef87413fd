# The file system, who may do what with it, and the stager that writes to it.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name         = "acme-models"
  vpc          = { vpc_id = "vpc-1", subnets = { a = "subnet-1", b = "subnet-2" } }
  stager_name  = "acme_stager"
  package      = { bucket = "acme-models", key = "packages/1.zip", source_code_hash = "aGFzaA==" }
  releaser_arn = "arn:aws:lambda:eu-central-1:123456789012:function:acme_releaser"

  registry = {
    bucket       = "acme-models"
    uri          = "s3://acme-models/ml"
    bucket_arn   = "arn:aws:s3:::acme-models"
    root         = "ml/"
    kms_key_arns = []
  }
}

run "policy_demands_tls_the_access_point_and_one_writer" {
  module {
    source = "./modules/file-system"
  }

  assert {
    condition = jsondecode(aws_efs_file_system_policy.models[0].policy).Statement == [
      {
        Sid       = "RefusePlainTransport"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "*"
        Resource  = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1"
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "RefuseOtherAccessPoints"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action = [
          "elasticfilesystem:ClientMount",
          "elasticfilesystem:ClientRootAccess",
          "elasticfilesystem:ClientWrite",
        ]
        Resource = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1"
        Condition = {
          StringNotEquals = { "elasticfilesystem:AccessPointArn" = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1" }
        }
      },
      {
        Sid       = "RefuseOtherWriters"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = ["elasticfilesystem:ClientWrite", "elasticfilesystem:ClientRootAccess"]
        Resource  = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1"
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = ["arn:aws:iam::123456789012:role/mocked"] } }
      },
    ]
    error_message = "Policy: ${aws_efs_file_system_policy.models[0].policy}"
  }
}

run "file_system_is_encrypted_elastic_and_entered_as_one_user" {
  module {
    source = "./modules/file-system"
  }

  assert {
    condition     = aws_efs_file_system.models[0].encrypted && aws_efs_file_system.models[0].throughput_mode == "elastic"
    error_message = "Encrypted, with elastic throughput."
  }
  assert {
    condition = (
      aws_efs_access_point.models[0].posix_user[0].uid == 1000
      && aws_efs_access_point.models[0].root_directory[0].path == "/models"
      && aws_efs_access_point.models[0].root_directory[0].creation_info[0].permissions == "0750"
    )
    error_message = "One user, one directory, closed to others."
  }
  assert {
    condition     = { for key, target in aws_efs_mount_target.models : key => target.subnet_id } == { a = "subnet-1", b = "subnet-2" }
    error_message = "A mount target in each subnet."
  }
}

run "functions_reach_nfs_and_https_and_nothing_reaches_them" {
  module {
    source = "./modules/file-system"
  }

  assert {
    condition = alltrue([
      for rule in [aws_vpc_security_group_ingress_rule.nfs[0], aws_vpc_security_group_egress_rule.nfs[0]] :
      rule.from_port == 2049 && rule.to_port == 2049 && rule.ip_protocol == "tcp" && length(rule.description) > 0
    ])
    error_message = "NFS is port 2049, and the rules are described."
  }
  assert {
    condition = (
      aws_vpc_security_group_ingress_rule.nfs[0].security_group_id == aws_security_group.mount_target[0].id
      && aws_vpc_security_group_ingress_rule.nfs[0].referenced_security_group_id == aws_security_group.function.id
    )
    error_message = "Only the functions reach the mount targets."
  }
  assert {
    condition     = aws_vpc_security_group_egress_rule.https.from_port == 443 && length(aws_vpc_endpoint.s3) == 0
    error_message = "HTTPS, and no gateway unless asked for."
  }
}

run "route_tables_get_a_gateway_to_s3" {
  module {
    source = "./modules/file-system"
  }
  variables {
    vpc = { vpc_id = "vpc-1", subnets = { a = "subnet-1" }, route_table_ids = ["rtb-1", "rtb-2"] }
  }

  assert {
    condition     = aws_vpc_endpoint.s3[0].service_name == "com.amazonaws.eu-central-1.s3" && aws_vpc_endpoint.s3[0].vpc_endpoint_type == "Gateway"
    error_message = "Endpoint: ${aws_vpc_endpoint.s3[0].service_name}"
  }
}

run "existing_access_point_needs_security_group_rules_alone" {
  module {
    source = "./modules/file-system"
  }
  variables {
    existing = {
      access_point_arn   = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-9"
      security_group_ids = ["sg-9"]
    }
  }

  assert {
    condition = (
      length(aws_efs_file_system.models) == 0 && length(aws_efs_access_point.models) == 0
      && length(aws_efs_mount_target.models) == 0 && length(aws_efs_file_system_policy.models) == 0
      && length(aws_security_group.mount_target) == 0
    )
    error_message = "Nothing is created in its place."
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.nfs[0].security_group_id == "sg-9"
    error_message = "Its mount targets are opened for the functions."
  }
  assert {
    condition     = output.access_point_arn == "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-9"
    error_message = "It is what functions mount."
  }
}

run "stager_may_read_blobs_write_the_file_system_and_nothing_else" {
  module {
    source = "./modules/file-system"
  }

  assert {
    condition = [for s in jsondecode(module.stager.policies[0]).Statement : s.Sid] == [
      "Log", "ReadRegistry", "ListRegistry", "ManageNetworkInterfaces", "DenyNetworkInterfacesToCode", "WriteFileSystem",
    ]
    error_message = "Policy: ${module.stager.policies[0]}"
  }
  assert {
    condition = { for s in jsondecode(module.stager.policies[0]).Statement : s.Sid => s.Resource if contains(["ReadRegistry", "WriteFileSystem"], s.Sid) } == {
      ReadRegistry    = ["arn:aws:s3:::acme-models/ml/blobs/*"]
      WriteFileSystem = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/*"
    }
    error_message = "Policy: ${module.stager.policies[0]}"
  }
}

run "stager_finds_the_file_system_at_its_mount" {
  module {
    source = "./modules/file-system"
  }

  assert {
    condition     = module.stager.environment == tomap({ SHEARLING_MOUNT = "/mnt/models", SHEARLING_REGISTRY = "s3://acme-models/ml" })
    error_message = "Environment: ${jsonencode(module.stager.environment)}"
  }
}

run "releaser_hears_of_every_end_and_nothing_is_tried_twice" {
  module {
    source = "./modules/file-system"
  }

  assert {
    condition = (
      aws_lambda_function_event_invoke_config.stager.maximum_retry_attempts == 0
      && aws_lambda_function_event_invoke_config.stager.destination_config[0].on_success[0].destination == var.releaser_arn
      && aws_lambda_function_event_invoke_config.stager.destination_config[0].on_failure[0].destination == var.releaser_arn
    )
    error_message = "Lambda sends every result to the releaser."
  }
  assert {
    condition = jsondecode(aws_iam_role_policy.report[0].policy).Statement == [
      { Action = "lambda:InvokeFunction", Effect = "Allow", Resource = var.releaser_arn, Sid = "Report" },
    ]
    error_message = "Policy: ${aws_iam_role_policy.report[0].policy}"
  }
}

run "name_with_a_dot_is_refused" {
  command = plan
  module {
    source = "./modules/file-system"
  }
  variables {
    name = "acme.models"
  }
  expect_failures = [var.name]
}

run "no_subnet_is_refused" {
  command = plan
  module {
    source = "./modules/file-system"
  }
  variables {
    vpc = { vpc_id = "vpc-1", subnets = {} }
  }
  expect_failures = [var.vpc]
}

run "file_system_in_place_of_an_access_point_is_refused" {
  command = plan
  module {
    source = "./modules/file-system"
  }
  variables {
    existing = { access_point_arn = "arn:aws:elasticfilesystem:eu-central-1:123456789012:file-system/fs-1" }
  }
  expect_failures = [var.existing]
}

run "too_little_memory_is_refused" {
  command = plan
  module {
    source = "./modules/file-system"
  }
  variables {
    stager_memory_mb = 256
  }
  expect_failures = [var.stager_memory_mb]
}

run "network_is_refused_under_its_old_name" {
  command = plan
  module {
    source = "./modules/file-system"
  }
  variables {
    network = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }
  }
  expect_failures = [var.network]
}
