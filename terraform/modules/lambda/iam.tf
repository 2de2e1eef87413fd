# The role, created here or given: its log, the folders of the registry that it reads, its network interfaces and file
# system, keys and traces, and what the caller adds.

locals {
  created   = var.role == null ? 1 : 0
  role_arn  = var.role == null ? one(aws_iam_role.function[*].arn) : var.role.arn
  role_name = var.role == null ? one(aws_iam_role.function[*].name) : reverse(split("/", var.role.arn))[0]

  log_statement = {
    Sid    = "Log"
    Effect = "Allow"
    Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
    # Built from the name, so that the length of the policy is known at plan.
    Resource = join(":", [
      "arn", data.aws_partition.current.partition, "logs", data.aws_service.s3.region,
      data.aws_caller_identity.current.account_id, "log-group", "/aws/lambda/${var.name}", "*",
    ])
  }

  # A group of folders fits a managed policy, which has at most 6,144 characters, with the longest names of a bucket and of
  # functions.
  folder_groups = chunklist(var.registry_folders, 12)

  registry_statements = [
    for folders in local.folder_groups : [
      {
        Sid      = "ReadRegistry"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = [for folder in folders : "${var.registry.bucket_arn}/${var.registry.root}${folder}/*"]
      },
      {
        # With it, S3 answers 404 for a missing object. Without it, S3 answers 403, which looks like a missing permission.
        Sid       = "ListRegistry"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = var.registry.bucket_arn
        Condition = { StringLike = { "s3:prefix" = [for folder in folders : "${var.registry.root}${folder}/*"] } }
      },
    ]
  ]

  key_statements = length(var.registry.kms_key_arns) == 0 ? [] : [
    {
      Sid      = "DecryptRegistry"
      Effect   = "Allow"
      Action   = "kms:Decrypt"
      Resource = var.registry.kms_key_arns
      # Through S3 alone: with the key itself, the function could decrypt what the key protects elsewhere.
      Condition = { StringLike = { "kms:ViaService" = "s3.*.${data.aws_partition.current.dns_suffix}" } }
    },
  ]

  environment_key_statements = [
    for arn in compact([var.options.environment_key_arn]) : {
      Sid       = "DecryptEnvironment"
      Effect    = "Allow"
      Action    = "kms:Decrypt"
      Resource  = arn
      Condition = { StringLike = { "kms:ViaService" = "lambda.*.${data.aws_partition.current.dns_suffix}" } }
    }
  ]

  tracing_statements = var.options.tracing != "Active" ? [] : [
    {
      Sid      = "Trace"
      Effect   = "Allow"
      Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
      Resource = "*" # X-Ray has no resources to name
    },
  ]

  vpc_statements = [
    {
      # On every resource, because the interfaces do not exist yet.
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
      # Lambda itself manages the interfaces with the role. The function's code has no use for these permissions.
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
      Condition = { ArnLike = { "lambda:SourceFunctionArn" = ["arn:*:lambda:*:*:function:${var.name}", "arn:*:lambda:*:*:function:${var.name}:*"] } }
    },
  ]

  file_system_statements = [
    for file_system in var.file_system[*] : {
      Sid    = file_system.writable ? "WriteFileSystem" : "ReadFileSystem"
      Effect = "Allow"
      # Without ClientWrite the mount is read-only.
      Action    = concat(["elasticfilesystem:ClientMount"], file_system.writable ? ["elasticfilesystem:ClientWrite"] : [])
      Resource  = replace(file_system.access_point_arn, "/access-point/.*$/", "file-system/*")
      Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = file_system.access_point_arn } }
    }
  ]

  managed_policies = concat(slice(local.registry_statements, 1, length(local.registry_statements)), var.managed_policies)

  statements = concat(
    [local.log_statement],
    local.registry_statements[0],
    var.policy_statements,
    [for statement in local.vpc_statements : statement if var.vpc != null],
    local.file_system_statements,
    local.key_statements,
    local.environment_key_statements,
    local.tracing_statements,
  )

  policy_json = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

# Role names are unique in an account, function names in a region: the suffix allows the same name in a second region.
resource "aws_iam_role" "function" {
  count = local.created

  name_prefix          = "${substr("${var.options.role_name_prefix}${var.name}", 0, 37)}-"
  description          = "Runs the function ${var.name}."
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.options.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

# What the inline policy has no room for: IAM allows a role 10,240 characters of it.
resource "aws_iam_policy" "function" {
  count = var.role == null ? length(local.managed_policies) : 0

  name_prefix = "${substr("${var.options.role_name_prefix}${var.name}", 0, 37)}-"
  description = "Policy ${count.index + 2} of the function ${var.name}."
  tags        = var.options.tags
  policy      = jsonencode({ Version = "2012-10-17", Statement = local.managed_policies[count.index] })

  lifecycle {
    precondition {
      condition     = length(local.managed_policies) <= 10
      error_message = "${var.name} would need ${length(local.managed_policies)} managed policies, but IAM allows a role 10. Split the models over two stacks."
    }
  }
}

resource "aws_iam_role_policy_attachment" "function" {
  count = length(aws_iam_policy.function)

  role       = aws_iam_role.function[0].name
  policy_arn = aws_iam_policy.function[count.index].arn
}

resource "aws_iam_role_policy" "function" {
  count = local.created

  name   = var.policy_name
  role   = aws_iam_role.function[0].id
  policy = local.policy_json

  lifecycle {
    precondition {
      condition     = length(local.policy_json) <= 10240
      error_message = "The policy of ${var.name} has ${length(local.policy_json)} characters, but IAM allows a role 10,240. Give it fewer keys or statements."
    }
  }
}
