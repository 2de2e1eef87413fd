# One model's function and its aliases. Terraform does not decide which version of the model an alias serves: the releaser
# publishes versions of the function, each with its model pinned, and moves the aliases between them.

locals {
  provisioned_concurrency = {
    for alias, attributes in var.aliases : alias => attributes.provisioned_concurrency
    if try(attributes.provisioned_concurrency, null) != null
  }

  frozen_options = {
    image_uri               = var.image_uri
    environment_key_arn     = var.options.environment_key_arn
    log_level               = var.options.log_level
    tracing                 = var.options.tracing == "PassThrough" ? null : var.options.tracing
    code_signing_config_arn = var.options.code_signing_config_arn
    role_arn                = try(var.role.arn, null)

    # Another prefix replaces the role, and published versions keep the ARN of the old one.
    role_name_prefix = var.role == null && var.options.role_name_prefix != "" ? var.options.role_name_prefix : null
  }

  # What a version of the function freezes: a change releases the aliases again. Only of inputs, because the function's own
  # attributes still show the old code while the apply that changes it is planned.
  frozen = merge(
    {
      package              = one(var.package[*].source_code_hash)
      python               = var.python
      architecture         = var.architecture
      memory_mb            = var.memory_mb
      timeout_seconds      = var.timeout_seconds
      ephemeral_storage_mb = var.ephemeral_storage_mb
      snap_start           = var.snap_start
      environment          = module.lambda.environment
      vpc                  = var.vpc
      file_system          = var.file_system
    },
    # Left out unless they are set: otherwise the first apply with this version would release every alias.
    { for name, value in local.frozen_options : name => value if value != null },
  )
}

locals {
  # SageMaker ignores the case of a name, and writes it in lower case in the ARN.
  endpoint_arn = join(":", [
    "arn", data.aws_partition.current.partition, "sagemaker", data.aws_service.sagemaker.region,
    data.aws_caller_identity.current.account_id, "endpoint",
  ])

  # `????????` stands for the eight hexadecimal digits with which the releaser ends a name.
  endpoints_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "InvokeEndpoint"
      Effect   = "Allow"
      Action   = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync"]
      Resource = "${local.endpoint_arn}/${lower(var.name)}-????????"
    }]
  })
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "sagemaker" {
  service_id = "sagemaker"
}

module "lambda" {
  source = "../lambda"

  name                 = var.name
  description          = "Serves a model by alias; its versions are published by the releaser."
  handler              = "shearling_runtime.handler.handler"
  package              = var.package
  image_uri            = var.image_uri
  python               = var.python
  architecture         = var.architecture
  memory_mb            = var.memory_mb
  timeout_seconds      = var.timeout_seconds
  ephemeral_storage_mb = var.ephemeral_storage_mb
  reserved_concurrency = var.reserved_concurrency
  snap_start           = var.snap_start
  publish              = true # an alias needs a version to start at

  environment = merge(
    var.environment,
    var.allow_pickle ? { SHEARLING_ALLOW_PICKLE = "true" } : {},
    var.endpoint_name == null ? {} : { SHEARLING_ENDPOINT = var.endpoint_name },
    var.endpoint_calls_uri == null ? {} : { SHEARLING_ENDPOINT_CALLS = var.endpoint_calls_uri },
    var.jobs == null ? {} : { SHEARLING_JOBS = "s3://${var.jobs.bucket}", SHEARLING_JOBS_KEEP_DAYS = tostring(var.jobs.keep_days) },
  )

  # The pin names a manifest by digest, and the manifest names its files: a function reads nothing but blobs.
  registry         = var.registry
  registry_folders = ["blobs"]
  policy_name      = "function"

  policy_statements = concat(var.policy_statements, [
    for endpoint in var.endpoint_name[*] : {
      Sid      = "InvokeEndpoint"
      Effect   = "Allow"
      Action   = "sagemaker:InvokeEndpoint"
      Resource = "${local.endpoint_arn}/${lower(endpoint)}"
    }
  ])

  vpc                      = var.vpc
  file_system              = var.file_system
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  role                     = var.role
  options                  = var.options
}

# Apart from the role's other policy: when the model needs no endpoint any more, its aliases need this until they are released
# again. `create_before_destroy` lets Terraform wait for that; it spreads to all that this refers to, so this refers to no
# variable whose rules look at others.
resource "aws_iam_role_policy" "endpoints" {
  count = var.has_endpoints && var.role == null ? 1 : 0

  name   = "invoke-endpoints"
  role   = module.lambda.role_name
  policy = local.endpoints_policy

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lambda_alias" "model" {
  for_each = var.aliases

  name             = each.key
  description      = "Moved by the releaser when the registry's alias of this name moves."
  function_name    = module.lambda.function_name
  function_version = module.lambda.published_version

  lifecycle {
    # The releaser writes into the description which registry it releases from.
    ignore_changes = [description, function_version, routing_config]
  }
}

resource "aws_lambda_provisioned_concurrency_config" "model" {
  for_each = local.provisioned_concurrency

  function_name                     = module.lambda.function_name
  qualifier                         = aws_lambda_alias.model[each.key].name
  provisioned_concurrent_executions = each.value
}
