# What every function of ours consists of: the function, its role and its log group. Aliases, events and alarms belong to
# the modules that call this one.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  # Lambda's Python 3.11 runs on Amazon Linux 2, where current wheels of numpy and onnxruntime do not load.
  pythons = ["3.12", "3.13", "3.14"]

  environment = tomap(merge(
    var.environment,
    { SHEARLING_REGISTRY = var.registry.uri },
    var.registry.region == null ? {} : { SHEARLING_REGISTRY_REGION = var.registry.region },
    var.file_system == null ? {} : { SHEARLING_MOUNT = var.file_system.mount_path },
  ))
}

# Terraform creates the log group before the function. Otherwise Lambda creates one that keeps logs for ever.
module "log_group" {
  source = "../log-group"

  name           = "/aws/lambda/${var.name}"
  retention_days = var.log_retention_days
  kms_key_arn    = var.options.logs_key_arn
  tags           = var.options.tags
}

resource "aws_lambda_function" "function" {
  # checkov:skip=CKV_AWS_116: Models are invoked synchronously. The releaser and the stager have destinations for what fails.

  function_name    = var.name
  description      = var.description
  role             = local.role_arn
  package_type     = var.image_uri == null ? "Zip" : "Image"
  image_uri        = var.image_uri
  runtime          = var.image_uri == null ? "python${var.python}" : null
  handler          = var.image_uri == null ? var.handler : null
  architectures    = [var.architecture]
  s3_bucket        = one(var.package[*].bucket)
  s3_key           = one(var.package[*].key)
  source_code_hash = one(var.package[*].source_code_hash)
  memory_size      = var.memory_mb
  timeout          = var.timeout_seconds
  publish          = var.publish
  tags             = var.options.tags

  reserved_concurrent_executions = coalesce(var.reserved_concurrency, -1)
  kms_key_arn                    = var.options.environment_key_arn
  code_signing_config_arn        = var.options.code_signing_config_arn

  # An image of Shearling's starts its server; Lambda's runtime client starts the handler instead.
  dynamic "image_config" {
    for_each = var.image_uri[*]

    content {
      entry_point = ["/var/task/python", "-m", "awslambdaric"]
      command     = [var.handler]
    }
  }

  tracing_config {
    mode = var.options.tracing
  }

  environment {
    variables = local.environment
  }

  ephemeral_storage {
    size = var.ephemeral_storage_mb
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]

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
    log_group  = module.log_group.name
    log_format = "JSON"

    # Our metrics are log lines of the level INFO: a higher level of the application would drop them, and stop the alarms.
    application_log_level = var.options.log_level == "WARN" ? "INFO" : var.options.log_level
    system_log_level      = var.options.log_level
  }

  dynamic "snap_start" {
    for_each = var.snap_start ? [1] : []

    content {
      apply_on = "PublishedVersions"
    }
  }

  lifecycle {
    # The releaser sets these variables, the pin and the endpoint that serves it, on functions that serve a model, and an apply
    # must keep them. Terraform takes only literal names here, so the rule covers every function; the validation of
    # `environment` keeps the names free.
    ignore_changes = [environment[0].variables["SHEARLING_MODEL"], environment[0].variables["SHEARLING_STAGED_ENDPOINT"]]

    precondition {
      condition     = contains(["aws", "aws-us-gov"], data.aws_partition.current.partition)
      error_message = "Functions fetch models from endpoints in amazonaws.com, which the partition ${data.aws_partition.current.partition} does not have: use a region of the partitions aws or aws-us-gov."
    }
  }

  # A function that starts before its role has its policy fails to load its model, and Lambda remembers the failure.
  depends_on = [aws_iam_role_policy.function, aws_iam_role_policy_attachment.function]
}
