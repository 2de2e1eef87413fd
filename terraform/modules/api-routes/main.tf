# Which paths an API serves, and what answers each: for both kinds of API. This module has data only, and no resources.

locals {
  targets = merge([
    for model, spec in var.models : {
      for alias, invoke_arn in spec.alias_invoke_arns : "${model}:${alias}" => {
        model         = model
        alias         = alias
        function_name = spec.function_name
        invoke_arn    = invoke_arn
      }
    }
  ]...)

  # Two paths each, because `{proxy+}` does not match the path before it.
  alias_paths = merge([
    for key, target in local.targets : {
      "/v2/models/${target.model}/versions/${target.alias}"          = key
      "/v2/models/${target.model}/versions/${target.alias}/{proxy+}" = key
    }
  ]...)

  # `{proxy+}` includes `/versions/7`, which the function answers if the default alias serves version 7.
  default_paths = merge([
    for model, spec in var.models : {
      "/v2/models/${model}"          = "${model}:${spec.default_alias}"
      "/v2/models/${model}/{proxy+}" = "${model}:${spec.default_alias}"
    }
  ]...)

  # Listed one by one, so that the API itself answers all other paths.
  catalog_methods = var.catalog == null ? {} : {
    "/"                    = ["GET", "HEAD"]
    "/v2"                  = ["GET", "HEAD"]
    "/v2/health/live"      = ["GET", "HEAD"]
    "/v2/health/ready"     = ["GET", "HEAD"]
    "/v2/repository/index" = ["POST"]
  }
}
