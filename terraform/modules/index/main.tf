# The index answers what spans models: which there are, and whether they are served. It reads who serves what from the
# registry, and no model.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# For the region alone: no attribute of `aws_region` is in both 5.x and 6.x without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  # Objects stay under the key that they were written with.
  registry_keys = compact(concat([var.registry.kms_key_arn], var.registry.former_kms_key_arns))

  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${var.registry.bucket}"
  root       = var.registry.prefix == "" ? "" : "${var.registry.prefix}/"

  # What the stack's functions are called in the registry, which accounts and regions may share; an id of eight digits
  # follows.
  deployments = [
    for name in sort(tolist(var.function_names)) : "${data.aws_caller_identity.current.account_id}-${data.aws_service.s3.region}-${name}"
  ]
  folders = concat(["deployments"], [for deployment in local.deployments : "releases/${deployment}-????????"])
}

resource "aws_cloudwatch_log_group" "index" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "index" {
  function_name    = var.name
  description      = "Lists the models and answers for the API as a whole."
  role             = aws_iam_role.index.arn
  runtime          = "python${var.python}"
  handler          = "shearling_runtime.index.handler"
  architectures    = [var.architecture]
  s3_bucket        = var.package.bucket
  s3_key           = var.package.key
  source_code_hash = var.package.source_code_hash
  memory_size      = 512
  timeout          = 15

  environment {
    variables = {
      SHEARLING_REGISTRY = "s3://${join("/", compact([var.registry.bucket, var.registry.prefix]))}"
      SHEARLING_RELEASER = var.releaser_name
    }
  }

  logging_config {
    log_group  = aws_cloudwatch_log_group.index.name
    log_format = "JSON"
  }

  depends_on = [aws_iam_role_policy.index]
}

# Roles are global and functions regional: the suffix lets the same name be used in a second region.
resource "aws_iam_role" "index" {
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

resource "aws_iam_role_policy" "index" {
  name = "index"
  role = aws_iam_role.index.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Log"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.index.arn}:*"
        },
        {
          Sid      = "ReadWhoServesWhat"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = [for folder in local.folders : "${local.bucket_arn}/${local.root}${folder}/*"]
        },
        {
          Sid       = "ListWhoServesWhat"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = local.bucket_arn
          Condition = { StringLike = { "s3:prefix" = [for folder in local.folders : "${local.root}${folder}/*"] } }
        },
      ],
      length(local.registry_keys) == 0 ? [] : [
        {
          Sid      = "DecryptRecords"
          Effect   = "Allow"
          Action   = "kms:Decrypt"
          Resource = local.registry_keys
        },
      ],
    )
  })
}
