# Routes, who may call, and what is refused.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name = "acme"
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
    source = "./modules/api"
  }

  assert {
    condition = { for path, route in aws_apigatewayv2_route.model : route.route_key => local.routes[path] } == {
      "ANY /v2/models/fraud"                           = "fraud:prod"
      "ANY /v2/models/fraud/{proxy+}"                  = "fraud:prod"
      "ANY /v2/models/fraud/versions/prod"             = "fraud:prod"
      "ANY /v2/models/fraud/versions/prod/{proxy+}"    = "fraud:prod"
      "ANY /v2/models/fraud/versions/staging"          = "fraud:staging"
      "ANY /v2/models/fraud/versions/staging/{proxy+}" = "fraud:staging"
    }
    error_message = "Routes: ${jsonencode(local.routes)}"
  }
  assert {
    condition = alltrue([
      for key, integration in aws_apigatewayv2_integration.alias : alltrue([
        endswith(integration.integration_uri, ":${module.routes.targets[key].alias}/invocations"),
        integration.payload_format_version == "2.0",
        integration.integration_type == "AWS_PROXY",
      ])
    ])
    error_message = "Every integration names the alias."
  }
}

run "callers_sign_their_requests_by_default" {
  module {
    source = "./modules/api"
  }

  assert {
    condition     = alltrue([for route in aws_apigatewayv2_route.model : route.authorization_type == "AWS_IAM"])
    error_message = "IAM authorization on every route."
  }
}

run "permissions_are_bound_to_the_alias" {
  module {
    source = "./modules/api"
  }

  assert {
    condition = { for key, permission in aws_lambda_permission.api : key => [permission.function_name, permission.qualifier, permission.source_arn] } == {
      "fraud:prod"    = ["acme-fraud", "prod", "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/*/*/v2/models/fraud*"]
      "fraud:staging" = ["acme-fraud", "staging", "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/*/*/v2/models/fraud*"]
    }
    error_message = "Permissions: ${jsonencode({ for key, permission in aws_lambda_permission.api : key => permission.qualifier })}"
  }
}

run "paths_of_no_model_go_to_the_catalog_under_the_same_authorization" {
  module {
    source = "./modules/api"
  }

  variables {
    catalog = {
      function_name = "acme_index"
      invoke_arn    = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:acme_index/invocations"
    }
  }

  assert {
    condition = { for path, route in aws_apigatewayv2_route.catalog : route.route_key => route.authorization_type } == {
      "ANY /"                    = "AWS_IAM"
      "ANY /v2"                  = "AWS_IAM"
      "ANY /v2/health/live"      = "AWS_IAM"
      "ANY /v2/health/ready"     = "AWS_IAM"
      "ANY /v2/repository/index" = "AWS_IAM"
    }
    error_message = "Routes: ${jsonencode([for route in aws_apigatewayv2_route.catalog : route.route_key])}"
  }
  assert {
    condition = toset([for permission in aws_lambda_permission.catalog : permission.source_arn]) == toset([
      for path in ["/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index"] :
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/*/*${path}"
    ])
    error_message = "The API may invoke the catalog from its own paths."
  }
  assert {
    condition = toset(jsondecode(output.catalog_policy).Statement[0].Resource) == toset([
      for call in [
        "GET/", "HEAD/", "GET/v2", "HEAD/v2", "GET/v2/health/live", "HEAD/v2/health/live",
        "GET/v2/health/ready", "HEAD/v2/health/ready", "POST/v2/repository/index",
      ] : "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/${call}"
    ])
    error_message = "Policy: ${output.catalog_policy}"
  }
}

run "requests_are_throttled_and_logged_with_their_errors" {
  module {
    source = "./modules/api"
  }

  assert {
    condition     = aws_apigatewayv2_stage.default.default_route_settings[0].throttling_rate_limit == 100 && aws_apigatewayv2_stage.default.default_route_settings[0].throttling_burst_limit == 200
    error_message = "Throttling is on."
  }
  assert {
    condition     = jsondecode(aws_apigatewayv2_stage.default.access_log_settings[0].format).integration_error == "$context.integrationErrorMessage"
    error_message = "The access log tells why an integration failed."
  }
  assert {
    condition     = length(aws_apigatewayv2_api.models.cors_configuration) == 0
    error_message = "No web page may call unless asked for."
  }
}

run "tokens_are_checked" {
  module {
    source = "./modules/api"
  }

  variables {
    authorization = "JWT"
    jwt           = { issuer = "https://issuer.example.com", audience = ["models"], scopes = ["infer"] }
  }

  assert {
    condition = alltrue([
      for route in aws_apigatewayv2_route.model :
      route.authorization_type == "JWT" && route.authorizer_id == aws_apigatewayv2_authorizer.jwt[0].id && tolist(route.authorization_scopes) == tolist(["infer"])
    ])
    error_message = "Every route asks for a token with a scope."
  }
  assert {
    condition     = aws_apigatewayv2_authorizer.jwt[0].jwt_configuration[0].issuer == "https://issuer.example.com"
    error_message = "Tokens of that issuer."
  }
}

run "everybody_may_call_when_it_is_typed" {
  module {
    source = "./modules/api"
  }

  variables {
    authorization = "NONE"
  }

  assert {
    condition     = alltrue([for route in aws_apigatewayv2_route.model : route.authorization_type == "NONE"])
    error_message = "No authorization."
  }
}

run "web_pages_may_call_when_asked_for" {
  module {
    source = "./modules/api"
  }

  variables {
    cors = { allow_origins = ["https://example.com"] }
  }

  assert {
    condition     = tolist(aws_apigatewayv2_api.models.cors_configuration[0].allow_origins) == tolist(["https://example.com"])
    error_message = "Pages of that origin."
  }
  assert {
    condition     = contains(aws_apigatewayv2_api.models.cors_configuration[0].allow_headers, "inference-header-content-length") && contains(aws_apigatewayv2_api.models.cors_configuration[0].expose_headers, "inference-header-content-length")
    error_message = "Binary tensors both ways."
  }
  assert {
    condition     = toset([for route in aws_apigatewayv2_route.model : split(" ", route.route_key)[0]]) == toset(["GET", "POST", "DELETE"])
    error_message = "A route for ANY would ask a browser's preflight for credentials, which it never sends."
  }
}

run "api_answers_at_its_domain" {
  module {
    source = "./modules/api"
  }

  variables {
    domain = { name = "models.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1" }
  }

  assert {
    condition     = output.url == "https://models.example.com" && output.domain_target == module.domain[0].target
    error_message = "URL and target: ${jsonencode([output.url, output.domain_target])}"
  }
}

run "name_with_a_dot_is_refused" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    name = "acme.api"
  }
  expect_failures = [var.name]
}

run "unknown_authorization_is_refused" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    authorization = "API_KEY"
  }
  expect_failures = [var.authorization]
}

run "jwt_without_saying_which_is_refused" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    authorization = "JWT"
  }
  expect_failures = [var.jwt]
}

run "tokens_that_nothing_looks_at_are_refused" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    jwt = { issuer = "https://issuer.example.com", audience = ["models"] }
  }
  expect_failures = [var.jwt]
}

run "issuer_without_https_is_refused" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    authorization = "JWT"
    jwt           = { issuer = "issuer.example.com", audience = ["models"] }
  }
  expect_failures = [var.jwt]
}

run "tokens_for_any_audience_are_refused" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    authorization = "JWT"
    jwt           = { issuer = "https://issuer.example.com", audience = [] }
  }
  expect_failures = [var.jwt]
}

run "credentials_from_any_page_are_refused" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    cors = { allow_origins = ["*"], allow_credentials = true }
  }
  expect_failures = [var.cors]
}

run "an_issuer_without_a_host_is_refused" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    authorization = "JWT"
    jwt           = { issuer = "https://", audience = ["models"] }
  }
  expect_failures = [var.jwt]
}

run "an_origin_without_a_scheme_is_refused" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    cors = { allow_origins = ["app.example.com"] }
  }
  expect_failures = [var.cors]
}

run "a_browser_may_remember_for_a_day_at_most" {
  command = plan
  module {
    source = "./modules/api"
  }
  variables {
    cors = { allow_origins = ["https://app.example.com"], max_age_seconds = 999999 }
  }
  expect_failures = [var.cors]
}
