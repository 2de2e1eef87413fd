# A file system for bundles too large for a function's /tmp. What lies there is a copy of the registry: it may be lost.

# For the name of the gateway's service alone.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  created = var.existing == null ? 1 : 0

  access_point_arn = var.existing == null ? one(aws_efs_access_point.models[*].arn) : var.existing.access_point_arn

  # Where port 2049 is opened for the functions.
  mount_group_ids = var.existing == null ? aws_security_group.mount_target[*].id : var.existing.security_group_ids
}

resource "aws_efs_file_system" "models" {
  count = local.created

  creation_token  = var.name
  encrypted       = true
  kms_key_id      = var.kms_key_arn
  throughput_mode = "elastic" # reads come in bursts, when functions start

  tags = {
    Name = var.name
  }
}

# Everybody who mounts it is this user, in this directory, and sees nothing else of the file system.
resource "aws_efs_access_point" "models" {
  count = local.created

  file_system_id = aws_efs_file_system.models[0].id

  posix_user {
    uid = 1000
    gid = 1000
  }

  root_directory {
    path = "/models"

    creation_info {
      owner_uid   = 1000
      owner_gid   = 1000
      permissions = "0750"
    }
  }
}

# By place and not by ID, which is not known while the subnets are still to be created; sorted, for who looks subnets up
# gets them in any order, and another one would replace the mount targets.
resource "aws_efs_mount_target" "models" {
  count = local.created * length(var.network.subnet_ids)

  file_system_id  = aws_efs_file_system.models[0].id
  subnet_id       = sort(var.network.subnet_ids)[count.index]
  security_groups = aws_security_group.mount_target[*].id
}

# What the roles of the functions allow holds within these bounds, whoever else is given rights.
resource "aws_efs_file_system_policy" "models" {
  count = local.created

  file_system_id = aws_efs_file_system.models[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Id      = "models" # EFS would make one up, and each plan would take it away
    Statement = [
      {
        Sid       = "RefusePlainTransport"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "*"
        Resource  = aws_efs_file_system.models[0].arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "RefuseOtherDoors"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = local.client_actions
        Resource  = aws_efs_file_system.models[0].arn
        # Also where there is no access point at all.
        Condition = { StringNotEquals = { "elasticfilesystem:AccessPointArn" = local.access_point_arn } }
      },
      {
        Sid       = "RefuseOtherWriters"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = ["elasticfilesystem:ClientWrite", "elasticfilesystem:ClientRootAccess"]
        Resource  = aws_efs_file_system.models[0].arn
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = var.writer_role_arns } }
      },
    ]
  })
}

locals {
  client_actions = [
    "elasticfilesystem:ClientMount",
    "elasticfilesystem:ClientRootAccess",
    "elasticfilesystem:ClientWrite",
  ]
}
