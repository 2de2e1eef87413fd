# The catalog answers requests that concern no single model: which models there are, and whether they are served. It reads
# deployments and releases from the registry, but no model.

data "aws_caller_identity" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  # Names of the functions in the registry, which several accounts and regions may share; the deployment's ID of eight
  # digits follows.
  deployments = [
    for name in sort(tolist(var.function_names)) : "${data.aws_caller_identity.current.account_id}-${data.aws_service.s3.region}-${name}"
  ]
}

module "lambda" {
  source = "../lambda"

  name             = var.name
  description      = "Lists the models and answers for the API as a whole."
  handler          = "shearling_runtime.control.catalog.handler"
  package          = var.package
  python           = var.python
  architecture     = var.architecture
  memory_mb        = 512
  timeout_seconds  = 15
  environment      = { SHEARLING_RELEASER = var.releaser_name }
  registry         = var.registry
  registry_folders = concat(["deployments"], [for deployment in local.deployments : "releases/${deployment}-????????"])
  policy_name      = "index"

  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  role                     = var.role
  options                  = var.options
}
