locals {
  # By name, so that the length of the policy is known at plan, before the functions are there.
  function_arns = [for function in values(var.functions) : "arn:${local.partition}:lambda:${local.region}:${local.account_id}:function:${function.name}"]

  function_statements = [
    {
      # With any id of eight digits, so that the length of the policy is known before there is one.
      Sid      = "RecordReleases"
      Effect   = "Allow"
      Action   = "s3:PutObject"
      Resource = [for deployment in values(local.deployments) : "${local.bucket_arn}/${local.root}releases/${deployment}-????????/*"]
    },
    {
      Sid    = "Release"
      Effect = "Allow"
      Action = [
        "lambda:GetAlias",
        "lambda:GetFunctionConfiguration",
        "lambda:ListAliases",
        "lambda:ListVersionsByFunction",
        "lambda:PublishVersion",
        "lambda:UpdateAlias",
        "lambda:UpdateFunctionConfiguration",
      ]
      Resource = flatten([for arn in local.function_arns : [arn, "${arn}:*"]])
    },
    {
      # Of versions alone: without a number, DeleteFunction deletes the function.
      Sid      = "CheckAndDeleteVersions"
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction", "lambda:DeleteFunction"]
      Resource = [for arn in local.function_arns : "${arn}:*"]
    },
  ]

  policy_json = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.releaser.arn}:*"
        },
        {
          Sid      = "ReportFailure"
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = local.queue_arn
        },
        {
          Sid    = "ReadRegistry"
          Effect = "Allow"
          Action = "s3:GetObject"
          Resource = [
            for folder in ["blobs", "models", "releases", "deployments"] : "${local.bucket_arn}/${local.root}${folder}/*"
          ]
        },
        {
          Sid      = "ListRegistry"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = local.bucket_arn
          Condition = {
            StringLike = {
              "s3:prefix" = [for folder in ["blobs", "models", "releases", "deployments"] : "${local.root}${folder}/*"]
            }
          }
        },
      ],
      # A statement must name a resource, and a releaser may have nothing to release yet.
      [for statement in local.function_statements : statement if length(var.functions) > 0],
      [
        for stager in var.stager[*] : {
          Sid      = "Stage"
          Effect   = "Allow"
          Action   = "lambda:InvokeFunction"
          Resource = stager.arn
        }
      ],
      length(local.registry_keys) == 0 ? [] : [
        {
          Sid      = "UseKey"
          Effect   = "Allow"
          Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource = local.registry_keys
        },
      ],
    )
  })
}

locals {
  policy_characters = length(local.policy_json)
}

# Roles are global and functions regional: the suffix lets the same name be used in a second region.
resource "aws_iam_role" "releaser" {
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

resource "aws_iam_role_policy" "releaser" {
  name   = "releaser"
  role   = aws_iam_role.releaser.id
  policy = local.policy_json

  lifecycle {
    precondition {
      condition     = local.policy_characters <= 10240
      error_message = "The rights of ${var.name} exceed the 10,240 characters that IAM allows a role: one releaser serves about 25 functions. Split the models over two."
    }
  }
}
