# What the releaser may do besides writing its log and reading the registry.

locals {
  # By name, so that the length of the policy is known at plan, before the functions exist.
  function_arns = [for function in values(var.functions) : "arn:${local.partition}:lambda:${local.region}:${local.account_id}:function:${function.name}"]

  function_statements = [
    {
      # `????????` stands for the deployment's ID, so that the length of the policy is known before there is one.
      Sid      = "RecordReleases"
      Effect   = "Allow"
      Action   = "s3:PutObject"
      Resource = [for deployment in values(local.deployments) : "${var.registry.bucket_arn}/${var.registry.root}releases/${deployment}-????????/*"]
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
      # Only versions: without a number, DeleteFunction deletes the function.
      Sid      = "CheckAndDeleteVersions"
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction", "lambda:DeleteFunction"]
      Resource = [for arn in local.function_arns : "${arn}:*"]
    },
  ]

  policy_statements = concat(
    [
      {
        Sid      = "ReportFailure"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = local.queue_arn
      },
    ],
    # A statement must name a resource, and a releaser may have no function yet.
    [for statement in local.function_statements : statement if length(var.functions) > 0],
    [
      for stager in var.stager[*] : {
        Sid      = "Stage"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = stager.arn
      }
    ],
    length(var.registry.kms_key_arns) == 0 ? [] : [
      {
        Sid       = "EncryptRecords"
        Effect    = "Allow"
        Action    = "kms:GenerateDataKey"
        Resource  = var.registry.kms_key_arns
        Condition = { StringLike = { "kms:ViaService" = "s3.*.${data.aws_partition.current.dns_suffix}" } }
      },
    ],
    [
      for arn in compact([var.queue_key_arn]) : {
        Sid       = "EncryptFailures"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = arn
        Condition = { StringLike = { "kms:ViaService" = "sqs.*.${data.aws_partition.current.dns_suffix}" } }
      }
    ],
    # The pin is an environment variable: the releaser reads and writes it, and Lambda lets new versions use the key.
    flatten([
      for arn in compact([var.options.environment_key_arn]) : [
        {
          Sid       = "EncryptEnvironment"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"]
          Resource  = arn
          Condition = { StringLike = { "kms:ViaService" = "lambda.*.${data.aws_partition.current.dns_suffix}" } }
        },
        {
          Sid      = "GrantEnvironment"
          Effect   = "Allow"
          Action   = "kms:CreateGrant"
          Resource = arn
          Condition = {
            StringLike = { "kms:ViaService" = "lambda.*.${data.aws_partition.current.dns_suffix}" }
            Bool       = { "kms:GrantIsForAWSResource" = "true" }
          }
        },
      ]
    ]),
  )
}
