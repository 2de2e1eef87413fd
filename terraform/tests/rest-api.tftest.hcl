# Routes, who may call and how often, and what is refused.

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

run "functions_are_told_of_another_timeout_only" {
  module {
    source = "./modules/rest-api"
  }

  variables {
    timeout_seconds = 120
  }

  assert {
    condition     = aws_api_gateway_stage.models.variables == tomap({ timeout_seconds = "120" })
    error_message = "Functions would refuse requests after 29 s."
  }
}

run "paths_of_a_model_go_to_its_aliases" {
  module {
    source = "./modules/rest-api"
  }

  assert {
    condition = {
      for path, methods in jsondecode(aws_api_gateway_rest_api.models.body).paths :
      path => split("/", split(":", methods.x-amazon-apigateway-any-method.x-amazon-apigateway-integration.uri)[12])[0]
      } == {
      "/v2/models/fraud"                           = "prod"
      "/v2/models/fraud/{proxy+}"                  = "prod"
      "/v2/models/fraud/versions/prod"             = "prod"
      "/v2/models/fraud/versions/prod/{proxy+}"    = "prod"
      "/v2/models/fraud/versions/staging"          = "staging"
      "/v2/models/fraud/versions/staging/{proxy+}" = "staging"
    }
    error_message = "Routes: ${aws_api_gateway_rest_api.models.body}"
  }
  assert {
    condition = jsondecode(aws_api_gateway_rest_api.models.body).paths["/v2/models/fraud/{proxy+}"].x-amazon-apigateway-any-method == {
      parameters = [{ name = "proxy", in = "path", required = true, schema = { type = "string" } }]
      security   = [{ sigv4 = [] }]
      responses  = {}
      x-amazon-apigateway-integration = {
        type            = "aws_proxy"
        httpMethod      = "POST"
        uri             = var.models.fraud.alias_invoke_arns.prod
        timeoutInMillis = 29000
      }
    }
    error_message = "Methods: ${aws_api_gateway_rest_api.models.body}"
  }
  assert {
    condition     = aws_api_gateway_stage.models.variables == null
    error_message = "A stage of an earlier version would change."
  }
  assert {
    condition     = jsondecode(aws_api_gateway_rest_api.models.body).x-amazon-apigateway-binary-media-types == ["*/*"]
    error_message = "Bytes pass as bytes."
  }
  assert {
    condition     = output.url == "https://fedcba4321.execute-api.eu-central-1.amazonaws.com/live" && aws_api_gateway_stage.models.stage_name == "live"
    error_message = "URL: ${output.url}"
  }
}

run "stage_shows_a_deployment_of_these_routes" {
  module {
    source = "./modules/rest-api"
  }

  assert {
    condition     = aws_api_gateway_deployment.models.triggers == tomap({ routes = sha256(aws_api_gateway_rest_api.models.body) })
    error_message = "Other routes are another deployment."
  }
  assert {
    condition     = aws_api_gateway_stage.models.deployment_id == aws_api_gateway_deployment.models.id
    error_message = "The stage shows it."
  }
}

run "permissions_are_bound_to_the_alias" {
  module {
    source = "./modules/rest-api"
  }

  assert {
    condition = { for key, permission in aws_lambda_permission.api : key => [permission.function_name, permission.qualifier, permission.source_arn] } == {
      "fraud:prod"    = ["acme-fraud", "prod", "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/*/*/v2/models/fraud*"]
      "fraud:staging" = ["acme-fraud", "staging", "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/*/*/v2/models/fraud*"]
    }
    error_message = "Permissions: ${jsonencode({ for key, permission in aws_lambda_permission.api : key => permission.qualifier })}"
  }
}

run "paths_of_no_model_go_to_the_catalog_under_the_same_authorization" {
  module {
    source = "./modules/rest-api"
  }

  variables {
    catalog = {
      function_name = "acme_index"
      invoke_arn    = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:acme_index/invocations"
    }
  }

  assert {
    condition = {
      for path, methods in jsondecode(aws_api_gateway_rest_api.models.body).paths : path => methods.x-amazon-apigateway-any-method.security
      if methods.x-amazon-apigateway-any-method.x-amazon-apigateway-integration.uri == var.catalog.invoke_arn
    } == { for path in ["/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index"] : path => [{ sigv4 = [] }] }
    error_message = "Routes: ${aws_api_gateway_rest_api.models.body}"
  }
  assert {
    condition = toset([for permission in aws_lambda_permission.catalog : permission.source_arn]) == toset([
      for path in ["/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index"] :
      "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/*/*${path}"
    ])
    error_message = "The API may invoke the catalog from its own paths."
  }
  assert {
    condition = toset(jsondecode(output.catalog_policy).Statement[0].Resource) == toset([
      for call in [
        "GET/", "HEAD/", "GET/v2", "HEAD/v2", "GET/v2/health/live", "HEAD/v2/health/live",
        "GET/v2/health/ready", "HEAD/v2/health/ready", "POST/v2/repository/index",
      ] : "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/live/${call}"
    ])
    error_message = "Policy: ${output.catalog_policy}"
  }
}

run "requests_are_throttled_and_logged_with_their_errors" {
  module {
    source = "./modules/rest-api"
  }

  assert {
    condition     = aws_api_gateway_method_settings.all.settings[0].throttling_rate_limit == 100 && aws_api_gateway_method_settings.all.settings[0].throttling_burst_limit == 200
    error_message = "Throttling is on."
  }
  assert {
    condition     = jsondecode(aws_api_gateway_stage.models.access_log_settings[0].format).integration_error == "$context.integrationErrorMessage"
    error_message = "The access log tells why an integration failed."
  }
  assert {
    condition     = output.log_group_name == "/aws/apigateway/acme"
    error_message = "Log: ${output.log_group_name}"
  }
}

run "account_without_a_role_for_logs_has_no_access_log" {
  module {
    source = "./modules/rest-api"
  }

  variables {
    log_retention_days = null
  }

  assert {
    condition     = length(aws_api_gateway_stage.models.access_log_settings) == 0 && output.log_group_name == null
    error_message = "No log."
  }
}

run "everybody_may_call_when_it_is_typed" {
  module {
    source = "./modules/rest-api"
  }

  variables {
    authorization = "NONE"
  }

  assert {
    condition     = alltrue([for security in [for methods in values(jsondecode(aws_api_gateway_rest_api.models.body).paths) : methods.x-amazon-apigateway-any-method.security] : length(security) == 0])
    error_message = "No authorization."
  }
}

run "usage_plans_ask_for_a_key_beside_the_signature" {
  module {
    source = "./modules/rest-api"
  }

  variables {
    usage_plans = {
      gold   = { requests_per_second = 50, burst = 100, api_keys = ["checkout", "backoffice"] }
      silver = { requests_per_second = 5, burst = 10, quota = { requests = 10000, period = "DAY" }, api_keys = ["partner"] }
    }
  }

  assert {
    condition     = alltrue([for security in [for methods in values(jsondecode(aws_api_gateway_rest_api.models.body).paths) : methods.x-amazon-apigateway-any-method.security] : jsonencode(security) == jsonencode([{ sigv4 = [] }, { api_key = [] }])])
    error_message = "Every route asks for both."
  }
  assert {
    condition = { for name, key in aws_api_gateway_usage_plan_key.key : name => key.usage_plan_id } == {
      checkout   = output.usage_plan_ids["gold"]
      backoffice = output.usage_plan_ids["gold"]
      partner    = output.usage_plan_ids["silver"]
    }
    error_message = "Each key is on its plan."
  }
  assert {
    condition = [for plan in aws_api_gateway_usage_plan.plan : [plan.name, plan.throttle_settings[0].rate_limit, plan.throttle_settings[0].burst_limit, [for quota in plan.quota_settings : "${quota.limit} a ${quota.period}"]]] == [
      ["acme-gold", 50, 100, []],
      ["acme-silver", 5, 10, ["10000 a DAY"]],
    ]
    error_message = "Plans: ${jsonencode(aws_api_gateway_usage_plan.plan)}"
  }
  assert {
    condition     = alltrue([for plan in aws_api_gateway_usage_plan.plan : [for stage in plan.api_stages : [stage.api_id, stage.stage]] == [["fedcba4321", "live"]]])
    error_message = "Plans are of the stage."
  }
  assert {
    condition     = issensitive(output.api_keys) && toset(keys(nonsensitive(output.api_keys))) == toset(["backoffice", "checkout", "partner"])
    error_message = "Keys are no plain output."
  }
}

run "keys_suffice_when_it_is_typed" {
  module {
    source = "./modules/rest-api"
  }

  variables {
    authorization = "NONE"
    usage_plans   = { gold = { requests_per_second = 50, burst = 100 } }
  }

  assert {
    condition     = alltrue([for security in [for methods in values(jsondecode(aws_api_gateway_rest_api.models.body).paths) : methods.x-amazon-apigateway-any-method.security] : jsonencode(security) == jsonencode([{ api_key = [] }])])
    error_message = "Every route asks for a key."
  }
}

run "web_acl_filters_the_stage" {
  module {
    source = "./modules/rest-api"
  }

  variables {
    waf = { web_acl_arn = "arn:aws:wafv2:eu-central-1:123456789012:regional/webacl/models/11111111-2222-3333-4444-555555555555" }
  }

  assert {
    condition     = aws_wafv2_web_acl_association.api[0].resource_arn == aws_api_gateway_stage.models.arn && aws_wafv2_web_acl_association.api[0].web_acl_arn == var.waf.web_acl_arn
    error_message = "Before the stage."
  }
}

run "api_answers_at_its_domain" {
  module {
    source = "./modules/rest-api"
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
    source = "./modules/rest-api"
  }
  variables {
    name = "acme.api"
  }
  expect_failures = [var.name]
}

run "tokens_are_refused" {
  command = plan
  module {
    source = "./modules/rest-api"
  }
  variables {
    authorization = "JWT"
  }
  expect_failures = [var.authorization]
}

run "usage_plan_that_refuses_every_request_is_refused" {
  command = plan
  module {
    source = "./modules/rest-api"
  }
  variables {
    usage_plans = { gold = { requests_per_second = 0, burst = 10 } }
  }
  expect_failures = [var.usage_plans]
}

run "quota_in_an_unknown_period_is_refused" {
  command = plan
  module {
    source = "./modules/rest-api"
  }
  variables {
    usage_plans = { gold = { requests_per_second = 5, burst = 10, quota = { requests = 100, period = "HOUR" } } }
  }
  expect_failures = [var.usage_plans]
}

run "key_of_two_usage_plans_is_refused" {
  command = plan
  module {
    source = "./modules/rest-api"
  }
  variables {
    usage_plans = {
      gold   = { requests_per_second = 50, burst = 100, api_keys = ["partner"] }
      silver = { requests_per_second = 5, burst = 10, api_keys = ["partner"] }
    }
  }
  expect_failures = [var.usage_plans]
}

run "timeout_beyond_what_api_gateway_waits_is_refused" {
  command = plan
  module {
    source = "./modules/rest-api"
  }
  variables {
    timeout_seconds = 301
  }
  expect_failures = [var.timeout_seconds]
}

run "stage_with_a_slash_is_refused" {
  command = plan
  module {
    source = "./modules/rest-api"
  }
  variables {
    stage = "v1/live"
  }
  expect_failures = [var.stage]
}

run "a_web_acl_of_cloudfront_is_refused" {
  command = plan
  module {
    source = "./modules/rest-api"
  }
  variables {
    waf = { web_acl_arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/models/1234" }
  }
  expect_failures = [var.waf]
}
