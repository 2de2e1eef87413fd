# What the containers of endpoints may do, and the function in front of them.

locals {
  # `????????` stands for the eight hexadecimal digits of an endpoint. SageMaker writes names in lower case in its ARNs.
  endpoint_arns = { for model, each in var.models : model => "arn:${local.partition}:sagemaker:${local.place}:endpoint/${lower(each.function_name)}-????????" }

  created_roles = { for model, each in var.models : model => each if each.role == null }

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
        for calls in each.calls[*] : {
          Sid      = "ReadAndWriteCalls"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
          Resource = "arn:${local.partition}:s3:::${calls.bucket}/${calls.prefix}/*"
        }
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

  invoke_policies = {
    for model, arn in local.endpoint_arns : model => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid      = "InvokeEndpoint"
        Effect   = "Allow"
        Action   = local.is_asynchronous[model] ? "sagemaker:InvokeEndpointAsync" : "sagemaker:InvokeEndpoint"
        Resource = arn
      }]
    })
  }
}

# Without `create_before_destroy`, Terraform would destroy the role, and the right to call the endpoint, of a model that needs no
# endpoint any more before it has released the aliases again, which still need them until then.
resource "aws_iam_role" "endpoint" {
  for_each = local.created_roles

  name_prefix          = "${substr("${var.role_name_prefix}${each.value.function_name}_endpoint", 0, 37)}-"
  description          = "Runs the containers of the endpoints of ${each.value.function_name}."
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
  for_each = local.created_roles

  name   = "endpoint"
  role   = aws_iam_role.endpoint[each.key].id
  policy = local.policies[each.key]
}

resource "aws_iam_role_policy" "function" {
  for_each = { for model, each in var.models : model => each if each.function_role != null }

  name   = "invoke-endpoint"
  role   = each.value.function_role.name
  policy = local.invoke_policies[each.key]

  lifecycle {
    create_before_destroy = true
  }
}
