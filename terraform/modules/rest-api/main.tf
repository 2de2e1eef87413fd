# The Open Inference Protocol over a REST API: what an HTTP API lacks is keys, quotas and a firewall.

# For the region alone: no attribute of `aws_region` is in both 5.x and 6.x without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

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

  # Two routes each: `{proxy+}` does not match the path before it.
  alias_routes = merge([
    for target in values(local.targets) : {
      "/v2/models/${target.model}/versions/${target.alias}"          = target.invoke_arn
      "/v2/models/${target.model}/versions/${target.alias}/{proxy+}" = target.invoke_arn
    }
  ]...)
  # Also answers `/versions/7` when 7 is what the default alias serves.
  default_routes = merge([
    for model, spec in var.models : {
      "/v2/models/${model}"          = spec.alias_invoke_arns[spec.default_alias]
      "/v2/models/${model}/{proxy+}" = spec.alias_invoke_arns[spec.default_alias]
    }
  ]...)

  # What spans models. Spelled out, so that whatever is no path of ours is answered by the API itself.
  index_paths  = var.index == null ? [] : ["/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index"]
  index_routes = { for path in local.index_paths : path => var.index.invoke_arn }

  stage_arn = "${aws_api_gateway_rest_api.models.execution_arn}/${aws_api_gateway_stage.models.stage_name}"

  # Stage and method by name: `*` reaches over slashes, and `*/*/` would be any path that ends in one.
  index_calls = [
    for path in local.index_paths : [
      for method in path == "/v2/repository/index" ? ["POST"] : ["GET", "HEAD"] :
      "${local.stage_arn}/${method}${path}"
    ]
  ]

  routes = merge(local.default_routes, local.alias_routes, local.index_routes)

  # A caller must pass all of them.
  security = compact([
    var.authorization == "AWS_IAM" ? "sigv4" : "",
    length(var.usage_plans) > 0 ? "api_key" : "",
  ])

  # Each key is of one plan.
  api_keys = merge([for plan, spec in var.usage_plans : { for key in spec.api_keys : key => plan }]...)
}

# The routes as one document: as resources of Terraform they would be about twenty for a model, and one that is removed
# would live on in the deployment that is made before it goes.
resource "aws_api_gateway_rest_api" "models" {
  name        = var.name
  description = "Models in the Open Inference Protocol."

  body = jsonencode({
    openapi = "3.0.1"
    info    = { title = var.name, version = "1" }
    # Everything passes as bytes: packed bodies and binary tensors arrive whole, whatever a caller says it accepts.
    x-amazon-apigateway-binary-media-types = ["*/*"]
    paths = {
      for path, invoke_arn in local.routes : path => {
        x-amazon-apigateway-any-method = {
          parameters = [for name in regexall("{(\\w+)\\+}", path) : { name = name[0], in = "path", required = true, schema = { type = "string" } }]
          security   = [for scheme in local.security : { (scheme) = [] }]
          responses  = {}
          x-amazon-apigateway-integration = {
            type            = "aws_proxy"
            httpMethod      = "POST"
            uri             = invoke_arn
            timeoutInMillis = var.timeout_seconds * 1000
          }
        }
      }
    }
    components = {
      securitySchemes = {
        sigv4   = { type = "apiKey", name = "Authorization", in = "header", x-amazon-apigateway-authtype = "awsSigv4" }
        api_key = { type = "apiKey", name = "x-api-key", in = "header" }
      }
    }
  })

  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

# A deployment is a copy of the routes, which a stage shows: other routes need another one.
resource "aws_api_gateway_deployment" "models" {
  rest_api_id = aws_api_gateway_rest_api.models.id
  triggers    = { routes = sha256(aws_api_gateway_rest_api.models.body) }

  lifecycle {
    create_before_destroy = true # the one that a stage shows cannot be deleted
  }
}

resource "aws_cloudwatch_log_group" "access" {
  count = var.log_retention_days == null ? 0 : 1

  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_api_gateway_stage" "models" {
  rest_api_id   = aws_api_gateway_rest_api.models.id
  stage_name    = var.stage
  deployment_id = aws_api_gateway_deployment.models.id

  dynamic "access_log_settings" {
    for_each = aws_cloudwatch_log_group.access

    content {
      destination_arn = access_log_settings.value.arn

      # The two errors are what tells a refused caller from a function that could not be invoked.
      format = jsonencode({
        request_id         = "$context.requestId"
        time               = "$context.requestTime"
        source_ip          = "$context.identity.sourceIp"
        caller             = "$context.identity.caller"
        api_key_id         = "$context.identity.apiKeyId"
        method             = "$context.httpMethod"
        path               = "$context.path"
        route              = "$context.resourcePath"
        status             = "$context.status"
        response_bytes     = "$context.responseLength"
        latency_ms         = "$context.responseLatency"
        integration_ms     = "$context.integrationLatency"
        integration_status = "$context.integrationStatus"
        integration_error  = "$context.integrationErrorMessage"
        error              = "$context.error.message"
        firewall           = "$context.wafResponseCode"
      })
    }
  }
}

resource "aws_api_gateway_method_settings" "all" {
  rest_api_id = aws_api_gateway_rest_api.models.id
  stage_name  = aws_api_gateway_stage.models.stage_name
  method_path = "*/*"

  settings {
    metrics_enabled        = true
    throttling_rate_limit  = var.throttle.requests_per_second
    throttling_burst_limit = var.throttle.burst
  }
}

# Bound to the alias: the API can invoke what it has routes to, and no other version.
resource "aws_lambda_permission" "api" {
  for_each = local.targets

  statement_id  = "api-${each.value.alias}-${aws_api_gateway_rest_api.models.id}"
  function_name = each.value.function_name
  qualifier     = each.value.alias
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.models.execution_arn}/*/*/v2/models/${each.value.model}*"
}

resource "aws_lambda_permission" "index" {
  for_each = toset(local.index_paths)

  statement_id  = "api-${substr(sha256(each.key), 0, 8)}-${aws_api_gateway_rest_api.models.id}"
  function_name = var.index.function_name
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.models.execution_arn}/*/*${each.key}"
}

resource "aws_api_gateway_usage_plan" "plan" {
  for_each = var.usage_plans

  name = "${var.name}-${each.key}"

  api_stages {
    api_id = aws_api_gateway_rest_api.models.id
    stage  = aws_api_gateway_stage.models.stage_name
  }

  throttle_settings {
    rate_limit  = each.value.requests_per_second
    burst_limit = each.value.burst
  }

  dynamic "quota_settings" {
    for_each = each.value.quota[*]

    content {
      limit  = quota_settings.value.requests
      period = quota_settings.value.period
    }
  }
}

# Not keyed by the plan: a key that moves to another one keeps its value.
resource "aws_api_gateway_api_key" "key" {
  for_each = local.api_keys

  name = "${var.name}-${each.key}"
}

resource "aws_api_gateway_usage_plan_key" "key" {
  for_each = local.api_keys

  usage_plan_id = aws_api_gateway_usage_plan.plan[each.value].id
  key_id        = aws_api_gateway_api_key.key[each.key].id
  key_type      = "API_KEY"
}

resource "aws_wafv2_web_acl_association" "api" {
  count = var.waf == null ? 0 : 1

  resource_arn = aws_api_gateway_stage.models.arn
  web_acl_arn  = var.waf.web_acl_arn
}

# Of the second version of API Gateway's API, which knows the domains of both kinds of APIs.
resource "aws_apigatewayv2_domain_name" "api" {
  count = var.domain == null ? 0 : 1

  domain_name = var.domain.name

  domain_name_configuration {
    certificate_arn = var.domain.certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "api" {
  count = var.domain == null ? 0 : 1

  domain_name = aws_apigatewayv2_domain_name.api[0].domain_name
  api_id      = aws_api_gateway_rest_api.models.id
  stage       = aws_api_gateway_stage.models.stage_name
}
