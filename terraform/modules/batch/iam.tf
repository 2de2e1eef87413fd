# Rights: of the functions that score, of the planner, of the state machine, and of who starts runs.

locals {
  releases_arn = "${var.registry.bucket_arn}/${var.registry.root}releases"
  output_arns  = [for output in local.outputs : "${local.bucket_arn}${output.bucket}/${output.prefix}"]
  run_folders  = [for arn in local.output_arns : "${arn}*_run/*"]
  via_s3       = { StringLike = { "kms:ViaService" = "s3.*.${data.aws_partition.current.dns_suffix}" } }

  role_arn = var.role == null ? one(aws_iam_role.batch[*].arn) : var.role.arn

  read_outputs = {
    Sid      = "ReadOutputs"
    Effect   = "Allow"
    Action   = "s3:GetObject"
    Resource = [for arn in local.output_arns : "${arn}*"]
  }

  # For who reads outputs, and for who also writes there: with a bucket key, one data key encrypts many objects.
  key_statements = {
    for who, actions in { reader = ["kms:Decrypt"], writer = ["kms:Decrypt", "kms:GenerateDataKey"] } : who => [
      for arns in [distinct(var.output_key_arns)] : {
        Sid       = "UseOutputKeys"
        Effect    = "Allow"
        Action    = actions
        Resource  = arns
        Condition = local.via_s3
      } if length(arns) > 0
    ]
  }

  planner_statements = concat(
    # Of the outputs, the planner writes the run's own files.
    [for statement in module.objects.statements : statement if statement.Sid != "WriteBatchOutputs"],
    [
      local.read_outputs,
      {
        Sid      = "WriteRuns"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = concat(local.run_folders, [for arn in local.output_arns : "${arn}*_manifest.json"], [for arn in local.output_arns : "${arn}*_SUCCESS"])
      },
      {
        Sid      = "FindVersions"
        Effect   = "Allow"
        Action   = ["lambda:GetAlias", "lambda:GetFunctionConcurrency", "lambda:GetFunctionConfiguration", "lambda:ListVersionsByFunction"]
        Resource = flatten([for arn in local.function_arns : [arn, "${arn}:*"]])
      },
      {
        Sid      = "SeeConcurrency"
        Effect   = "Allow"
        Action   = "lambda:GetAccountSettings"
        Resource = "*" # it has no resource to name
      },
      {
        Sid      = "PublishAgain"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = local.releaser_arn
      },
      {
        Sid      = "RecordRuns"
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = [for deployment in local.deployments : "${local.releases_arn}/${deployment}/_runs/*"]
      },
    ],
    [
      for arns in [var.registry.kms_key_arns] : {
        Sid       = "EncryptRuns"
        Effect    = "Allow"
        Action    = "kms:GenerateDataKey"
        Resource  = arns
        Condition = local.via_s3
      } if length(arns) > 0
    ],
    [
      for arn in compact([var.options.environment_key_arn]) : {
        Sid       = "DecryptPins"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = arn
        Condition = { StringLike = { "kms:ViaService" = "lambda.*.${data.aws_partition.current.dns_suffix}" } }
      }
    ],
  )

  batch_policy_json = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          # By number: a run keeps its version, whatever becomes of the alias.
          Sid      = "ScoreParts"
          Effect   = "Allow"
          Action   = "lambda:InvokeFunction"
          Resource = concat([local.planner_arn], [for arn in local.function_arns : "${arn}:*"])
        },
        {
          # The parts of a run are executions of the state machine itself.
          Sid      = "StartParts"
          Effect   = "Allow"
          Action   = "states:StartExecution"
          Resource = local.state_machine_arn
        },
        {
          Sid      = "ManageParts"
          Effect   = "Allow"
          Action   = ["states:DescribeExecution", "states:StopExecution", "states:RedriveExecution"]
          Resource = ["${local.executions_arn}:*", "${local.executions_arn}/*"]
        },
        {
          Sid      = "ReadPlans"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = local.run_folders
        },
        {
          Sid      = "WriteResults"
          Effect   = "Allow"
          Action   = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
          Resource = concat(local.run_folders, [for arn in local.output_arns : "${arn}*.error.json"])
        },
        {
          # Of the account: Step Functions delivers logs by a policy that all its state machines share.
          Sid    = "DeliverLogs"
          Effect = "Allow"
          Action = [
            "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
            "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
          ]
          Resource = "*"
        },
      ],
      local.key_statements.writer,
      var.options.tracing != "Active" ? [] : [
        {
          Sid      = "Trace"
          Effect   = "Allow"
          Action   = ["xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments"]
          Resource = "*" # X-Ray has no resources to name
        },
      ],
    )
  })

  user_policy_json = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "StartRuns"
          Effect   = "Allow"
          Action   = ["states:StartExecution", "states:ListExecutions", "states:DescribeStateMachine"]
          Resource = local.state_machine_arn
        },
        {
          Sid      = "FollowAndStopRuns"
          Effect   = "Allow"
          Action   = ["states:DescribeExecution", "states:StopExecution", "states:ListMapRuns", "states:GetExecutionHistory"]
          Resource = "${local.executions_arn}:*"
        },
        {
          # Not to raise how many there are at the same time.
          Sid      = "FollowParts"
          Effect   = "Allow"
          Action   = ["states:DescribeMapRun", "states:ListExecutions"]
          Resource = "${local.map_runs_arn}/*"
        },
        {
          Sid      = "ReadDeployments"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = "${var.registry.bucket_arn}/${var.registry.root}deployments/*"
        },
        {
          Sid       = "ListDeployments"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = var.registry.bucket_arn
          Condition = { StringLike = { "s3:prefix" = "${var.registry.root}deployments/*" } }
        },
        local.read_outputs,
      ],
      local.key_statements.reader,
      [
        for number, bucket in distinct(local.outputs[*].bucket) : {
          Sid       = "ListOutputs${number}"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = "${local.bucket_arn}${bucket}"
          Condition = { StringLike = { "s3:prefix" = [for output in local.outputs : "${output.prefix}*" if output.bucket == bucket] } }
        }
      ],
      [
        for arns in [var.registry.kms_key_arns] : {
          Sid       = "DecryptDeployments"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = arns
          Condition = local.via_s3
        } if length(arns) > 0
      ],
    )
  })
}

module "objects" {
  source = "../object-access"

  name            = "Batch"
  sources         = local.sources
  outputs         = local.outputs
  source_key_arns = var.source_key_arns
  output_key_arns = var.output_key_arns
}

# The names of roles are unique in an account, those of state machines in a region: the suffix allows the same name twice.
resource "aws_iam_role" "batch" {
  count = var.role == null ? 1 : 0

  name_prefix          = "${substr("${var.options.role_name_prefix}${local.name}", 0, 37)}-"
  description          = "Runs the state machine ${local.name}."
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.options.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "states.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:states:${local.place}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "batch" {
  count = length(aws_iam_role.batch)

  name   = "batch"
  role   = aws_iam_role.batch[0].id
  policy = local.batch_policy_json
}
