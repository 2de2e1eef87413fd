# The releaser makes a Lambda alias serve the model version that the registry's alias names. Terraform cannot do this: it
# has no resource for a version of a function, and moving an alias must not need an apply.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_service.s3.region

  targets = merge([
    for model, function in var.functions : {
      for alias in function.aliases : "${model}:${alias}" => { model = model, alias = alias }
    }
  ]...)

  # Names of the functions in the registry, which several accounts and regions may share.
  deployments = { for model, function in var.functions : model => "${local.account_id}-${local.region}-${function.name}" }

  # The same account and region, for what must be known at plan.
  place = module.lambda.place

  # Only in the bucket's region: its events invoke the releaser, and Terraform writes the records of deployments. In another
  # region the schedule finds moved aliases, and the releaser writes the records.
  functions_beside_bucket = { for model, function in var.functions : model => function if var.registry.region == null }
  functions_elsewhere     = { for model, function in var.functions : model => function if var.registry.region != null }
}

module "lambda" {
  source = "../lambda"

  name                 = var.name
  description          = "Moves the aliases of functions to the model versions that the registry names."
  handler              = "shearling_runtime.control.releaser.handler"
  package              = var.package
  python               = var.python
  architecture         = var.architecture
  memory_mb            = 512
  timeout_seconds      = 900 # Lambda needs minutes to make a version with SnapStart
  reserved_concurrency = var.reserved_concurrency
  registry             = var.registry
  environment = {
    SHEARLING_RECONCILE_MINUTES      = tostring(var.reconcile_interval_minutes)
    SHEARLING_FULL_RECONCILE_MINUTES = tostring(var.full_reconcile_interval_minutes)
  }

  registry_folders  = ["blobs", "models", "releases", "deployments"]
  policy_name       = "releaser"
  policy_statements = local.policy_statements
  managed_policies = concat(
    local.endpoint_policies,
    slice(local.function_statements, min(1, length(local.function_statements)), length(local.function_statements)),
  )

  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  role                     = var.role
  options                  = var.options
}

# An ID that is new with each deployment and then stays. Release records of a destroyed function of the same name stay in
# the registry; the ID keeps them apart from those of this one.
resource "terraform_data" "deployment" {
  for_each = var.functions
}

# Tells the releaser and the SDK which functions serve a model.
locals {
  deployment_records = {
    for model, function in var.functions : model => {
      key = "${var.registry.root}deployments/${local.place.account}-${local.place.region}-${function.name}-${substr(terraform_data.deployment[model].id, 0, 8)}.json"

      content = merge(
        {
          account  = local.place.account
          aliases  = sort(function.aliases)
          api_url  = var.api_url
          function = function.name
          model    = model
          region   = local.place.region
          releaser = var.name
          runtime  = "python${function.python}"
        },
        length(function.events) == 0 ? {} : { events = sort(function.events) },
        function.file_system == null ? {} : {
          file_system = function.file_system.access_point_arn
          stager      = var.stager.name
        },
        function.sagemaker == null ? {} : { sagemaker = local.endpoint_records[model] },
        function.batch == null ? {} : { batch = function.batch },
      )
    }
  }
}

resource "aws_s3_object" "deployment" {
  for_each = local.functions_beside_bucket

  bucket       = var.registry.bucket
  key          = local.deployment_records[each.key].key
  content_type = "application/json"
  content      = jsonencode(local.deployment_records[each.key].content)

  # An S3 object has at most ten tags, and a provider may have more default tags.
  override_provider {
    default_tags {
      tags = {}
    }
  }
}

# A provider writes no object in another region.
resource "aws_lambda_invocation" "deployment" {
  for_each = local.functions_elsewhere

  function_name   = module.lambda.function_name
  lifecycle_scope = "CRUD"

  input = jsonencode({
    shearling = "deployment"
    key       = trimprefix(local.deployment_records[each.key].key, var.registry.root)
    record    = local.deployment_records[each.key].content
  })
}

# An apply that changes a function's code, configuration or aliases releases its aliases again: each keeps its model and
# gets the new code. If a model fails its check under the new code, the apply fails and no alias moves. One invocation for
# each function, because its aliases share `$LATEST`.
resource "aws_lambda_invocation" "release" {
  for_each = var.functions

  function_name = module.lambda.function_name

  input = jsonencode({ function = each.value.name })

  triggers = merge(
    {
      aliases       = join(",", sort(each.value.aliases))
      configuration = each.value.release_trigger
    },
    each.value.sagemaker == null ? {} : { endpoints = sha256(jsonencode(local.endpoint_records[each.key])) },
  )

  depends_on = [aws_s3_object.deployment, aws_lambda_invocation.deployment]
}
