# What the containers of endpoints may do.

locals {
  # `????????` stands for the eight hexadecimal digits with which the releaser ends a name.
  log_arns = { for model, each in var.models : model => "arn:${local.partition}:logs:${local.place}:log-group:/aws/sagemaker/Endpoints/${each.function_name}-????????" }

  statements = {
    for model, each in var.models : model => concat(
      [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
          Resource = "${local.log_arns[model]}:*"
        },
        {
          # SageMaker itself pulls the image with the role.
          Sid      = "PullImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = "arn:${local.partition}:ecr:${local.place}:repository/${local.images[model].repository}"
        },
        {
          Sid      = "LogInToRegistryOfImages"
          Effect   = "Allow"
          Action   = "ecr:GetAuthorizationToken"
          Resource = "*" # a token has no resource to name
        },
        {
          # The pin names a manifest by digest, and the manifest names its files: a container reads nothing but blobs.
          Sid      = "ReadRegistry"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = "${var.registry.bucket_arn}/${var.registry.root}blobs/*"
        },
        {
          # With it, S3 answers 404 for a missing object. Without it, S3 answers 403, which looks like a missing permission.
          Sid       = "ListRegistry"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = var.registry.bucket_arn
          Condition = { StringLike = { "s3:prefix" = "${var.registry.root}blobs/*" } }
        },
      ],
      [
        for uri in each.calls_uri[*] : {
          Sid      = "AnswerCalls"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
          Resource = "arn:${local.partition}:s3:::${trimprefix(uri, "s3://")}/*"
        }
      ],
      [
        # SageMaker looks for the bucket of the answers.
        for uri in each.calls_uri[*] : {
          Sid      = "FindCalls"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = "arn:${local.partition}:s3:::${split("/", uri)[2]}"
        }
      ],
      length(var.registry.kms_key_arns) == 0 ? [] : [
        {
          Sid       = "DecryptRegistry"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = var.registry.kms_key_arns
          Condition = { StringLike = { "kms:ViaService" = "s3.*.${data.aws_partition.current.dns_suffix}" } }
        },
      ],
      [
        for vpc in each.vpc[*] : {
          # On every resource, because the interfaces do not exist yet.
          Sid    = "ManageNetworkInterfaces"
          Effect = "Allow"
          Action = [
            "ec2:CreateNetworkInterface",
            "ec2:CreateNetworkInterfacePermission",
            "ec2:DeleteNetworkInterface",
            "ec2:DeleteNetworkInterfacePermission",
            "ec2:DescribeDhcpOptions",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups",
            "ec2:DescribeSubnets",
            "ec2:DescribeVpcs",
          ]
          Resource = "*"
        }
      ],
    )
  }

  policies = { for model, statements in local.statements : model => jsonencode({ Version = "2012-10-17", Statement = statements }) }
}

# The endpoints of a model that needs none any more serve until its aliases are released again. `create_before_destroy` lets
# Terraform wait for that; it spreads to all that a resource refers to, and so this refers to names only.
resource "aws_iam_role" "endpoint" {
  for_each = { for model, name in var.function_names : model => name if !contains(var.given_roles, model) }

  name_prefix          = "${substr("${var.role_name_prefix}${each.value}_endpoint", 0, 37)}-"
  description          = "Runs the containers of the endpoints of ${each.value}."
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "sagemaker.amazonaws.com" }
    }]
  })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_iam_role_policy" "endpoint" {
  for_each = aws_iam_role.endpoint

  name   = "endpoint"
  role   = each.value.id
  policy = local.policies[each.key]
}
