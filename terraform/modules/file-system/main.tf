# A file system for bundles too large for a function's /tmp. It holds copies from the registry, so losing it loses nothing.

locals {
  created = var.existing == null ? 1 : 0

  access_point_arn = var.existing == null ? one(aws_efs_access_point.models[*].arn) : var.existing.access_point_arn

  client_actions = [
    "elasticfilesystem:ClientMount",
    "elasticfilesystem:ClientRootAccess",
    "elasticfilesystem:ClientWrite",
  ]
}

resource "aws_efs_file_system" "models" {
  count = local.created

  creation_token  = var.name
  encrypted       = true
  kms_key_id      = var.kms_key_arn
  throughput_mode = "elastic" # functions read in bursts, when they start

  tags = merge(var.options.tags, { Name = var.name })
}

# Every client acts as this user and sees only this directory.
resource "aws_efs_access_point" "models" {
  count = local.created

  file_system_id = aws_efs_file_system.models[0].id
  tags           = var.options.tags

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

# Keyed by the caller's names of the subnets: their IDs may be unknown at plan.
resource "aws_efs_mount_target" "models" {
  for_each = { for key, subnet_id in var.vpc.subnets : key => subnet_id if local.created == 1 }

  file_system_id  = aws_efs_file_system.models[0].id
  subnet_id       = each.value
  security_groups = aws_security_group.mount_target[*].id
}

# Limits every client, whatever its own role allows.
resource "aws_efs_file_system_policy" "models" {
  count = local.created

  file_system_id = aws_efs_file_system.models[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Id      = "models" # without one, EFS generates an ID and every plan shows a change
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
        Sid       = "RefuseOtherAccessPoints"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = local.client_actions
        Resource  = aws_efs_file_system.models[0].arn
        # Also applies to clients without an access point.
        Condition = { StringNotEquals = { "elasticfilesystem:AccessPointArn" = local.access_point_arn } }
      },
      {
        Sid       = "RefuseOtherWriters"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = ["elasticfilesystem:ClientWrite", "elasticfilesystem:ClientRootAccess"]
        Resource  = aws_efs_file_system.models[0].arn
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = [module.stager.role_arn] } }
      },
    ]
  })
}
