# The Open Inference Protocol over HTTP: paths of a model go to an alias of its function.

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
    for key, target in local.targets : {
      "/v2/models/${target.model}/versions/${target.alias}"          = key
      "/v2/models/${target.model}/versions/${target.alias}/{proxy+}" = key
    }
  ]...)
  # Also answers `/versions/7` when 7 is what the default alias serves.
  default_routes = merge([
    for model, spec in var.models : {
      "/v2/models/${model}"          = "${model}:${spec.default_alias}"
      "/v2/models/${model}/{proxy+}" = "${model}:${spec.default_alias}"
    }
  ]...)
  # A browser asks with OPTIONS, and without credentials, whether it may call: the API answers that itself, but for
  # paths whose route takes any method, and asks for credentials. Hence no ANY where web pages call.
  methods = var.cors == null ? ["ANY"] : ["GET", "POST"]
  routes = merge([
    for method in local.methods : {
      for path, key in merge(local.default_routes, local.alias_routes) : "${method} ${path}" => key
    }
  ]...)

  # What spans models. Spelled out, so that whatever is no path of ours is answered by the API itself.
  index_paths = var.index == null ? [] : ["/", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index"]

  stage_arn = "${aws_apigatewayv2_api.models.execution_arn}/${aws_apigatewayv2_stage.default.name}"

  # Stage and method by name: `*` reaches over slashes, and `*/*/` would be any path that ends in one.
  index_calls = [
    for path in local.index_paths : [
      for method in path == "/v2/repository/index" ? ["POST"] : ["GET", "HEAD"] :
      "${local.stage_arn}/${method}${path}"
    ]
  ]
}

resource "aws_apigatewayv2_api" "models" {
  name          = var.name
  description   = "Models in the Open Inference Protocol."
  protocol_type = "HTTP"

  dynamic "cors_configuration" {
    for_each = var.cors == null ? [] : [var.cors]

    content {
      allow_origins     = cors_configuration.value.allow_origins
      allow_headers     = cors_configuration.value.allow_headers
      allow_methods     = ["GET", "POST"]
      expose_headers    = ["inference-header-content-length"] # without it a page cannot take binary tensors apart
      allow_credentials = cors_configuration.value.allow_credentials
      max_age           = cors_configuration.value.max_age_seconds
    }
  }
}

# API Gateway may write to groups below /aws/vendedlogs without an entry of its own in CloudWatch's resource policy,
# which is full after a handful of APIs.
resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/vendedlogs/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.models.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    detailed_metrics_enabled = true
    throttling_rate_limit    = var.throttle.requests_per_second
    throttling_burst_limit   = var.throttle.burst
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn

    # The two errors are what tells a refused caller from a function that could not be invoked.
    format = jsonencode({
      request_id         = "$context.requestId"
      time               = "$context.requestTime"
      source_ip          = "$context.identity.sourceIp"
      caller             = "$context.identity.caller"
      method             = "$context.httpMethod"
      path               = "$context.path"
      route              = "$context.routeKey"
      status             = "$context.status"
      response_bytes     = "$context.responseLength"
      latency_ms         = "$context.responseLatency"
      integration_ms     = "$context.integrationLatency"
      integration_status = "$context.integrationStatus"
      integration_error  = "$context.integrationErrorMessage"
      error              = "$context.error.message"
      authorizer_error   = "$context.authorizer.error"
    })
  }
}

resource "aws_apigatewayv2_authorizer" "jwt" {
  count = var.authorization == "JWT" ? 1 : 0

  api_id           = aws_apigatewayv2_api.models.id
  name             = "jwt"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]

  jwt_configuration {
    issuer   = var.jwt.issuer
    audience = var.jwt.audience
  }
}

resource "aws_apigatewayv2_integration" "alias" {
  for_each = local.targets

  api_id                 = aws_apigatewayv2_api.models.id
  description            = each.key
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = each.value.invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000 # the most that an HTTP API waits
}

resource "aws_apigatewayv2_route" "model" {
  for_each = local.routes

  api_id               = aws_apigatewayv2_api.models.id
  route_key            = each.key
  target               = "integrations/${aws_apigatewayv2_integration.alias[each.value].id}"
  authorization_type   = var.authorization
  authorizer_id        = one(aws_apigatewayv2_authorizer.jwt[*].id)
  authorization_scopes = var.authorization == "JWT" ? var.jwt.scopes : null
}

# Bound to the alias: the API can invoke what it has routes to, and no other version.
resource "aws_lambda_permission" "api" {
  for_each = local.targets

  statement_id  = "api-${each.value.alias}-${aws_apigatewayv2_api.models.id}"
  function_name = each.value.function_name
  qualifier     = each.value.alias
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.models.execution_arn}/*/*/v2/models/${each.value.model}*"
}

resource "aws_apigatewayv2_integration" "index" {
  count = var.index == null ? 0 : 1

  api_id                 = aws_apigatewayv2_api.models.id
  description            = "What spans models."
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = var.index.invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_apigatewayv2_route" "index" {
  for_each = toset([for pair in setproduct(local.methods, local.index_paths) : join(" ", pair)])

  api_id               = aws_apigatewayv2_api.models.id
  route_key            = each.key
  target               = "integrations/${aws_apigatewayv2_integration.index[0].id}"
  authorization_type   = var.authorization
  authorizer_id        = one(aws_apigatewayv2_authorizer.jwt[*].id)
  authorization_scopes = var.authorization == "JWT" ? var.jwt.scopes : null
}

resource "aws_lambda_permission" "index" {
  for_each = toset(local.index_paths)

  statement_id  = "api-${substr(sha256(each.key), 0, 8)}-${aws_apigatewayv2_api.models.id}"
  function_name = var.index.function_name
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.models.execution_arn}/*/*${each.key}"
}

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
  api_id      = aws_apigatewayv2_api.models.id
  stage       = aws_apigatewayv2_stage.default.name
}
