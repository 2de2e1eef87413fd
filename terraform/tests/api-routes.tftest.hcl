# The paths of both kinds of API, and what is refused of both.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  models = {
    fraud = {
      function_name = "acme-fraud"
      alias_invoke_arns = {
        prod    = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:prod/invocations"
        staging = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:acme-fraud:staging/invocations"
      }
      default_alias = "prod"
    }
  }
}

run "paths_of_a_model_go_to_its_aliases" {
  module {
    source = "./modules/api-routes"
  }

  assert {
    condition = output.model_paths == {
      "/v2/models/fraud"                           = "fraud:prod"
      "/v2/models/fraud/{proxy+}"                  = "fraud:prod"
      "/v2/models/fraud/versions/prod"             = "fraud:prod"
      "/v2/models/fraud/versions/prod/{proxy+}"    = "fraud:prod"
      "/v2/models/fraud/versions/staging"          = "fraud:staging"
      "/v2/models/fraud/versions/staging/{proxy+}" = "fraud:staging"
    }
    error_message = "Paths: ${jsonencode(output.model_paths)}"
  }
  assert {
    condition     = alltrue([for key, target in output.targets : key == "${target.model}:${target.alias}" && endswith(target.invoke_arn, ":${target.alias}/invocations")])
    error_message = "Targets: ${jsonencode(output.targets)}"
  }
  assert {
    condition     = length(output.catalog_paths) == 0 && length(output.catalog_calls) == 0
    error_message = "Without a catalog, the API itself answers all other paths."
  }
}

run "catalog_answers_the_paths_of_no_model" {
  module {
    source = "./modules/api-routes"
  }
  variables {
    catalog = {
      function_name = "acme_index"
      invoke_arn    = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:acme_index/invocations"
    }
  }

  assert {
    condition     = toset(output.catalog_paths) == toset(["/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index"])
    error_message = "Paths: ${jsonencode(output.catalog_paths)}"
  }
  assert {
    condition = toset(output.catalog_calls) == toset([
      "GET/", "HEAD/", "GET/v2", "HEAD/v2", "GET/v2/health/live", "HEAD/v2/health/live",
      "GET/v2/health/ready", "HEAD/v2/health/ready", "POST/v2/repository/index",
    ])
    error_message = "Calls: ${jsonencode(output.catalog_calls)}"
  }
}

run "default_alias_that_does_not_exist_is_refused" {
  command = plan
  module {
    source = "./modules/api-routes"
  }
  variables {
    models = { fraud = { function_name = "acme-fraud", alias_invoke_arns = { prod = "arn" }, default_alias = "production" } }
  }
  expect_failures = [var.models]
}

run "throttle_of_zero_is_refused" {
  command = plan
  module {
    source = "./modules/api-routes"
  }
  variables {
    throttle = { burst = 0 }
  }
  expect_failures = [var.throttle]
}
