# The stager copies bundles from the registry onto the file system; all other functions only read it. The releaser invokes
# the stager, and Lambda sends the result to the releaser: the stager's subnets need not reach Lambda's API.

module "stager" {
  source = "../lambda"

  name             = var.stager_name
  description      = "Brings model bundles to the file system, and removes those that nothing needs."
  handler          = "shearling_runtime.control.stager.handler"
  package          = var.package
  python           = var.python
  architecture     = var.architecture
  memory_mb        = var.stager_memory_mb
  timeout_seconds  = 900 # the next reconciliation resumes what takes longer
  registry         = var.registry
  registry_folders = ["blobs"]
  policy_name      = "stager"

  vpc = {
    # The subnets of the mount targets, so that the function is created after them.
    subnet_ids = var.existing == null ? [for key in keys(var.vpc.subnets) : aws_efs_mount_target.models[key].subnet_id] : values(var.vpc.subnets)

    security_group_ids = [aws_security_group.function.id]
  }

  file_system = { access_point_arn = local.access_point_arn, writable = true }

  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  role                     = var.stager_role
  options                  = var.options
}

locals {
  report_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Report"
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = var.releaser_arn
    }]
  })
}

# A separate policy, because the releaser's policy names the stager: each function exists before the other's last policy.
resource "aws_iam_role_policy" "report" {
  count = var.stager_role == null ? 1 : 0

  name   = "report"
  role   = module.stager.role_name
  policy = local.report_policy
}

# Without retries: the releaser receives every result, and its schedule tries again.
resource "aws_lambda_function_event_invoke_config" "stager" {
  function_name                = module.stager.function_name
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
