# Roles are global and functions regional: the suffix lets the same name be used in a second region.
resource "aws_iam_role" "stager" {
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

resource "aws_iam_role_policy" "stager" {
  name = "stager"
  role = aws_iam_role.stager.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.stager.arn}:*"
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
        {
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
        },
        {
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
        },
        {
          Sid       = "WriteFileSystem"
          Effect    = "Allow"
          Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
          Resource  = replace(var.file_system.access_point_arn, "/access-point/.*$/", "file-system/*")
          Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = var.file_system.access_point_arn } }
        },
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

# Apart, because the releaser's own rights name the stager: each of the two functions exists before the other's last right.
resource "aws_iam_role_policy" "report" {
  name = "report"
  role = aws_iam_role.stager.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Report"
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = var.releaser_arn
    }]
  })
}
