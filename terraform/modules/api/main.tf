# The Open Inference Protocol as an HTTP API: the paths of a model invoke an alias of its function.

module "routes" {
  source = "../api-routes"

  models   = var.models
  catalog  = var.catalog
  throttle = var.throttle
}

locals {
  # A browser sends OPTIONS without credentials before it calls another origin. The API answers that itself, except on routes
  # with the method ANY, which require credentials: with CORS, routes name their methods.
  methods = var.cors == null ? ["ANY"] : ["GET", "POST", "DELETE"]

  routes = merge([
    for method in local.methods : { for path, key in module.routes.model_paths : "${method} ${path}" => key }
  ]...)

  stage_arn = "${aws_apigatewayv2_api.models.execution_arn}/${aws_apigatewayv2_stage.default.name}"
}

resource "aws_apigatewayv2_api" "models" {
  name          = var.name
  description   = "Models in the Open Inference Protocol."
  protocol_type = "HTTP"
  tags          = var.tags

  dynamic "cors_configuration" {
    for_each = var.cors == null ? [] : [var.cors]

    content {
      allow_origins     = cors_configuration.value.allow_origins
      allow_headers     = cors_configuration.value.allow_headers
      allow_methods     = ["GET", "POST", "DELETE"]
      expose_headers    = ["inference-header-content-length", "location"] # a page needs them: to split binary tensors, to find a job
      allow_credentials = cors_configuration.value.allow_credentials
      max_age           = cors_configuration.value.max_age_seconds
    }
  }
}

# API Gateway writes to groups below /aws/vendedlogs without an entry in CloudWatch's resource policy, which has room for
# few APIs.
module "access_log" {
  source = "../log-group"

  name           = "/aws/vendedlogs/apigateway/${var.name}"
  retention_days = var.log_retention_days
  kms_key_arn    = var.logs_key_arn
  tags           = var.tags
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.models.id
  name        = "$default"
  auto_deploy = true
  tags        = var.tags

  default_route_settings {
    detailed_metrics_enabled = var.detailed_metrics
    throttling_rate_limit    = module.routes.throttle.requests_per_second
    throttling_burst_limit   = module.routes.throttle.burst
  }

  access_log_settings {
    destination_arn = module.access_log.arn

    # The two errors distinguish a refused caller from a function that could not be invoked.
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

  lifecycle {
    create_before_destroy = true # an authorizer that a route uses cannot be deleted: the route changes first
  }
}

resource "aws_apigatewayv2_integration" "alias" {
  for_each = module.routes.targets

  api_id                 = aws_apigatewayv2_api.models.id
  description            = each.key
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = each.value.invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000 # an HTTP API waits no longer

  lifecycle {
    create_before_destroy = true # an integration that a route uses cannot be deleted: the route changes first
  }
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

# For the alias only: the API may invoke no other version.
resource "aws_lambda_permission" "api" {
  for_each = module.routes.targets

  statement_id  = "api-${each.value.alias}-${aws_apigatewayv2_api.models.id}"
  function_name = each.value.function_name
  qualifier     = each.value.alias
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.models.execution_arn}/*/*/v2/models/${each.value.model}*"

  depends_on = [var.functions]
}

resource "aws_apigatewayv2_integration" "catalog" {
  count = var.catalog == null ? 0 : 1

  api_id                 = aws_apigatewayv2_api.models.id
  description            = "Catalog"
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = var.catalog.invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_apigatewayv2_route" "catalog" {
  for_each = toset([for pair in setproduct(setsubtract(local.methods, ["DELETE"]), module.routes.catalog_paths) : join(" ", pair)])

  api_id               = aws_apigatewayv2_api.models.id
  route_key            = each.key
  target               = "integrations/${aws_apigatewayv2_integration.catalog[0].id}"
  authorization_type   = var.authorization
  authorizer_id        = one(aws_apigatewayv2_authorizer.jwt[*].id)
  authorization_scopes = var.authorization == "JWT" ? var.jwt.scopes : null
}

resource "aws_lambda_permission" "catalog" {
  for_each = toset(module.routes.catalog_paths)

  statement_id  = "api-${substr(sha256(each.key), 0, 8)}-${aws_apigatewayv2_api.models.id}"
  function_name = var.catalog.function_name
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.models.execution_arn}/*/*${each.key}"

  depends_on = [var.functions]
}

module "domain" {
  source = "../api-domain"
  count  = var.domain == null ? 0 : 1

  domain = var.domain
  api_id = aws_apigatewayv2_api.models.id
  stage  = aws_apigatewayv2_stage.default.name
  tags   = var.tags
}
