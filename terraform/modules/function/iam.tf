data "aws_partition" "current" {}

locals {
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${var.registry.bucket}"
  root       = var.registry.prefix == "" ? "" : "${var.registry.prefix}/"
}

# Roles are global and functions regional: the suffix lets the same name be used in a second region.
resource "aws_iam_role" "function" {
  name_prefix          = "${substr(var.name, 0, 37)}-"
  description          = "Runs the function ${var.name}."
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

# The pin names a manifest by digest and the manifest its files: blobs are all that a function ever reads.
resource "aws_iam_role_policy" "function" {
  name = "function"
  role = aws_iam_role.function.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.function.arn}:*"
        },
        {
          Sid      = "ReadBlobs"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = "${local.bucket_arn}/${local.root}blobs/*"
        },
        {
          # What makes a missing blob a 404 that says so, instead of a 403 that sends people looking for rights.
          Sid       = "ListBlobs"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = local.bucket_arn
          Condition = { StringLike = { "s3:prefix" = ["${local.root}blobs/*"] } }
        },
      ],
      [
        for network in var.network[*] : {
          # On any resource, since the interfaces do not exist yet.
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
        }
      ],
      [
        for network in var.network[*] : {
          # Lambda stands in the network with these rights; the function's own code has no use for them.
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
          Condition = { ArnLike = { "lambda:SourceFunctionArn" = ["arn:*:lambda:*:*:function:${var.name}", "arn:*:lambda:*:*:function:${var.name}:*"] } }
        }
      ],
      [
        for file_system in var.file_system[*] : {
          # Without ClientWrite the mount is read-only: what one function maps, no other can change.
          Sid       = "ReadFileSystem"
          Effect    = "Allow"
          Action    = "elasticfilesystem:ClientMount"
          Resource  = replace(file_system.access_point_arn, "/access-point/.*$/", "file-system/*")
          Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = file_system.access_point_arn } }
        }
      ],
      length(local.registry_keys) == 0 ? [] : [
        {
          Sid      = "DecryptBlobs"
          Effect   = "Allow"
          Action   = "kms:Decrypt"
          Resource = local.registry_keys
        },
      ],
    )
  })
}
