# What the releaser may do besides writing its log and reading the registry.

locals {
  # What one function adds to a policy at most: its name four times, and the rest of six ARNs with the longest names of a
  # bucket and of a region. A managed policy has 6,144 characters, and 700 of them are in no ARN.
  characters_of_function = max(0, [for function in values(var.functions) : 4 * length(function.name)]...) + length(var.registry.root) + 320
  functions_of_policy    = max(1, floor(5400 / local.characters_of_function))

  # The first group is in the role's own policy, and each other group in a managed policy.
  function_statements = [
    for models in chunklist(sort(keys(var.functions)), local.functions_of_policy) : [
      {
        # `????????` stands for the deployment's ID, so that the length of the policy is known before there is one.
        Sid      = "RecordReleases"
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = [for model in models : "${var.registry.bucket_arn}/${var.registry.root}releases/${local.deployments[model]}-????????/*"]
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
        Resource = flatten([for model in models : [local.function_arns[model], "${local.function_arns[model]}:*"]])
      },
      {
        # Only versions: without a number, DeleteFunction deletes the function.
        Sid      = "CheckAndDeleteVersions"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction", "lambda:DeleteFunction"]
        Resource = [for model in models : "${local.function_arns[model]}:*"]
      },
    ]
  ]

  # By name, so that the length of a policy is known at plan, before the functions exist.
  function_arns = {
    for model, function in var.functions : model => "arn:${local.partition}:lambda:${local.region}:${local.account_id}:function:${function.name}"
  }

  policy_statements = concat(
    var.registry.region == null ? [] : [
      {
        Sid      = "RecordDeployments"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:DeleteObject"]
        Resource = "${var.registry.bucket_arn}/${var.registry.root}deployments/${local.account_id}-${local.region}-*-????????.json"
      },
    ],
    [
      {
        Sid      = "ReportFailure"
        Effect   = "Allow"
        Action   = "sqs:SendMessage"
        Resource = local.queue_arn
      },
    ],
    try(local.function_statements[0], []), # a releaser may have no function yet
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
