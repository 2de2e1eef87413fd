# The stager copies bundles from the registry onto the file system, where functions only read. The releaser starts it,
# and Lambda takes word of its end back to the releaser: from the stager's own network, Lambda need not be in reach.

data "aws_partition" "current" {}

locals {
  # Objects stay under the key that they were written with.
  registry_keys = compact(concat([var.registry.kms_key_arn], var.registry.former_kms_key_arns))

  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${var.registry.bucket}"
  root       = var.registry.prefix == "" ? "" : "${var.registry.prefix}/"
}

resource "aws_cloudwatch_log_group" "stager" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "stager" {
  function_name    = var.name
  description      = "Brings model bundles to the file system, and removes those that nothing needs."
  role             = aws_iam_role.stager.arn
  runtime          = "python${var.python}"
  handler          = "shearling_runtime.stager.handler"
  architectures    = [var.architecture]
  s3_bucket        = var.package.bucket
  s3_key           = var.package.key
  source_code_hash = var.package.source_code_hash
  memory_size      = var.memory_mb
  timeout          = 900 # what does not fit into it, the next sweep resumes

  environment {
    variables = {
      SHEARLING_MOUNT    = var.file_system.mount_path
      SHEARLING_REGISTRY = "s3://${join("/", compact([var.registry.bucket, var.registry.prefix]))}"
    }
  }

  vpc_config {
    subnet_ids         = var.network.subnet_ids
    security_group_ids = var.network.security_group_ids
  }

  file_system_config {
    arn              = var.file_system.access_point_arn
    local_mount_path = var.file_system.mount_path
  }

  logging_config {
    log_group  = aws_cloudwatch_log_group.stager.name
    log_format = "JSON"
  }

  depends_on = [aws_iam_role_policy.stager]
}

# No retries: the releaser hears of every end, and its sweeps try again.
resource "aws_lambda_function_event_invoke_config" "stager" {
  function_name                = aws_lambda_function.stager.function_name
  maximum_event_age_in_seconds = 21600
  maximum_retry_attempts       = 0

  destination_config {
    on_success {
      destination = var.releaser_arn
    }

    on_failure {
      destination = var.releaser_arn
    }
  }

  depends_on = [aws_iam_role_policy.report]
}
