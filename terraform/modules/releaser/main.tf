# The releaser makes a Lambda alias serve the version that the registry's alias names. Terraform has no resource for a
# version of a function, and moving an alias must need no apply: so a function of ours does it.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# For the region alone: no attribute of `aws_region` is in both 5.x and 6.x without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  # Objects stay under the key that they were written with.
  registry_keys = compact(concat([var.registry.kms_key_arn], var.registry.former_kms_key_arns))

  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_service.s3.region

  bucket_arn = "arn:${local.partition}:s3:::${var.registry.bucket}"
  root       = var.registry.prefix == "" ? "" : "${var.registry.prefix}/"

  targets = merge([
    for model, function in var.functions : {
      for alias in function.aliases : "${model}:${alias}" => { model = model, alias = alias }
    }
  ]...)

  # What a function is called in the registry, which accounts and regions may share.
  deployments = { for model, function in var.functions : model => "${local.account_id}-${local.region}-${function.name}" }
}

resource "aws_cloudwatch_log_group" "releaser" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "releaser" {
  function_name    = var.name
  description      = "Moves the aliases of functions to the model versions that the registry names."
  role             = aws_iam_role.releaser.arn
  runtime          = "python${var.python}"
  handler          = "shearling_runtime.releaser.handler"
  architectures    = [var.architecture]
  s3_bucket        = var.package.bucket
  s3_key           = var.package.key
  source_code_hash = var.package.source_code_hash
  memory_size      = 512
  timeout          = 900 # a version with SnapStart is minutes in the making

  environment {
    variables = {
      SHEARLING_REGISTRY = "s3://${join("/", compact([var.registry.bucket, var.registry.prefix]))}"
    }
  }

  logging_config {
    log_group  = aws_cloudwatch_log_group.releaser.name
    log_format = "JSON"
  }

  depends_on = [aws_iam_role_policy.releaser]
}

# New with each deployment, and then the same at each apply: what was released on a function of the same name that was
# destroyed stays in the registry, and says nothing of this one.
resource "terraform_data" "deployment" {
  for_each = var.functions
}

# Who serves a model. The releaser finds its functions here, and the SDK the deployments to wait for.
resource "aws_s3_object" "deployment" {
  for_each = var.functions

  bucket       = var.registry.bucket
  key          = "${local.root}deployments/${local.deployments[each.key]}-${substr(terraform_data.deployment[each.key].id, 0, 8)}.json"
  content_type = "application/json"

  content = jsonencode(merge(
    {
      account  = local.account_id
      aliases  = sort(each.value.aliases)
      api_url  = var.api_url
      function = each.value.name
      model    = each.key
      region   = local.region
      releaser = var.name
      runtime  = "python${each.value.python}"
    },
    each.value.file_system == null ? {} : {
      file_system = each.value.file_system.access_point_arn
      stager      = var.stager.name
    },
  ))

  # An object takes ten tags, and default tags of a provider may be more.
  override_provider {
    default_tags {
      tags = {}
    }
  }
}

# Every apply that changes code, configuration or aliases of a function releases its aliases anew: the models stay, the
# code under them is the new one. A bundle that fails its check under the new code fails the apply, and no alias moves.
# One invocation a function, since its aliases need `$LATEST` in turns.
resource "aws_lambda_invocation" "release" {
  for_each = var.functions

  function_name = aws_lambda_function.releaser.function_name

  input = jsonencode({ function = each.value.name })

  triggers = {
    aliases       = join(",", sort(each.value.aliases))
    configuration = each.value.configuration_hash
  }

  depends_on = [
    aws_iam_role_policy.releaser,
    aws_s3_object.deployment,
  ]
}
