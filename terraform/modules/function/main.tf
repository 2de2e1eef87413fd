# One model's function and its aliases. Which version of the model an alias serves is not Terraform's business: the
# releaser publishes versions of the function, each with its model pinned, and moves the aliases between them.

locals {
  # Objects stay under the key that they were written with.
  registry_keys = compact(concat([var.registry.kms_key_arn], var.registry.former_kms_key_arns))

  environment = merge(
    var.environment,
    { SHEARLING_REGISTRY = "s3://${join("/", compact([var.registry.bucket, var.registry.prefix]))}" },
    var.allow_pickle ? { SHEARLING_ALLOW_PICKLE = "true" } : {},
    var.file_system == null ? {} : { SHEARLING_MOUNT = var.file_system.mount_path },
  )
}

# Created by Terraform and before the function, or Lambda would create one that keeps logs for ever.
resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "model" {
  function_name    = var.name
  description      = "Serves a model by alias; its versions are published by the releaser."
  role             = aws_iam_role.function.arn
  runtime          = "python${var.python}"
  handler          = "shearling_runtime.handler.handler"
  architectures    = [var.architecture]
  s3_bucket        = var.package.bucket
  s3_key           = var.package.key
  source_code_hash = var.package.source_code_hash
  memory_size      = var.memory_mb
  timeout          = var.timeout_seconds
  publish          = true # an alias needs a version to start at

  reserved_concurrent_executions = coalesce(var.reserved_concurrency, -1)

  environment {
    variables = local.environment
  }

  ephemeral_storage {
    size = var.ephemeral_storage_mb
  }

  dynamic "vpc_config" {
    for_each = var.network[*]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  dynamic "file_system_config" {
    for_each = var.file_system[*]

    content {
      arn              = file_system_config.value.access_point_arn
      local_mount_path = file_system_config.value.mount_path
    }
  }

  logging_config {
    log_group  = aws_cloudwatch_log_group.function.name
    log_format = "JSON"
  }

  dynamic "snap_start" {
    for_each = var.snap_start ? [1] : []

    content {
      apply_on = "PublishedVersions"
    }
  }

  lifecycle {
    # The pin of the model: the releaser sets it, publishes a version with it, and an apply leaves it alone.
    ignore_changes = [environment[0].variables["SHEARLING_MODEL"]]
  }

  # A function that starts before its rights fails to load its model and is remembered as failed.
  depends_on = [aws_iam_role_policy.function]
}

resource "aws_lambda_alias" "model" {
  for_each = var.aliases

  name             = each.key
  description      = "Moved by the releaser when the registry's alias of this name moves."
  function_name    = aws_lambda_function.model.function_name
  function_version = aws_lambda_function.model.version

  lifecycle {
    ignore_changes = [function_version, routing_config]
  }
}

resource "aws_lambda_provisioned_concurrency_config" "model" {
  for_each = { for alias, attributes in var.aliases : alias => attributes if length(attributes) > 0 }

  function_name                     = aws_lambda_function.model.function_name
  qualifier                         = aws_lambda_alias.model[each.key].name
  provisioned_concurrent_executions = each.value.provisioned_concurrency
}
