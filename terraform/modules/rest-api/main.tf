# The Open Inference Protocol as a REST API, which has what an HTTP API lacks: API keys, quotas and WAF.

module "routes" {
  source = "../api-routes"

  models   = var.models
  catalog  = var.catalog
  throttle = var.throttle
}

locals {
  # The ARN that answers each path.
  routes = merge(
    { for path, key in module.routes.model_paths : path => module.routes.targets[key].invoke_arn },
    { for path in module.routes.catalog_paths : path => var.catalog.invoke_arn },
  )

  stage_arn = "${aws_api_gateway_rest_api.models.execution_arn}/${aws_api_gateway_stage.models.stage_name}"

  # A caller must satisfy all of them.
  security = compact([
    var.authorization == "AWS_IAM" ? "sigv4" : "",
    length(var.usage_plans) > 0 ? "api_key" : "",
  ])

  # The usage plan of each key: a key has one.
  api_keys = merge([for plan, spec in var.usage_plans : { for key in spec.api_keys : key => plan }]...)
}

# The routes are one document. As Terraform resources they would be about twenty for each model, and a removed one would
# remain in the deployment, which is created before the resource is deleted.
resource "aws_api_gateway_rest_api" "models" {
  # checkov:skip=CKV_AWS_237: It would apply to all that the API refers to, and two file systems cannot have the same creation token.

  name        = var.name
  description = "Models in the Open Inference Protocol."
  tags        = var.tags

  body = jsonencode({
    openapi = "3.0.1"
    info    = { title = var.name, version = "1" }
    # All bodies pass as bytes: compressed bodies and binary tensors arrive unchanged, whatever the `Accept` header says.
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

# A stage serves a deployment, a copy of the routes: changed routes need a new deployment.
resource "aws_api_gateway_deployment" "models" {
  rest_api_id = aws_api_gateway_rest_api.models.id
  triggers    = { routes = sha256(aws_api_gateway_rest_api.models.body) }

  lifecycle {
    create_before_destroy = true # a deployment that a stage serves cannot be deleted
  }
}

module "access_log" {
  source = "../log-group"
  count  = var.log_retention_days == null ? 0 : 1

  name           = "/aws/apigateway/${var.name}"
  retention_days = var.log_retention_days
  kms_key_arn    = var.logs_key_arn
  tags           = var.tags
}

resource "aws_api_gateway_stage" "models" {
  # checkov:skip=CKV_AWS_73: The caller turns traces on, with `tracing`: they are billed.
  # checkov:skip=CKV_AWS_120: Answers depend on the body, which the cache ignores.
  # checkov:skip=CKV2_AWS_4: Logs of the execution contain what callers send. The access log has a line for each request.
  # checkov:skip=CKV2_AWS_51: A client certificate is for HTTP integrations. These are Lambda functions.
  # checkov:skip=CKV2_AWS_77: The rules of the web ACL are the caller's.

  rest_api_id   = aws_api_gateway_rest_api.models.id
  stage_name    = var.stage
  deployment_id = aws_api_gateway_deployment.models.id
  tags          = var.tags

  xray_tracing_enabled = var.tracing == "Active"

  # Functions read from it how long the API waits; without it they assume the default.
  variables = var.timeout_seconds == 29 ? null : { timeout_seconds = tostring(var.timeout_seconds) }

  dynamic "access_log_settings" {
    for_each = module.access_log[*].arn

    content {
      destination_arn = access_log_settings.value

      # The two errors distinguish a refused caller from a function that could not be invoked.
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
  # checkov:skip=CKV_AWS_225: Answers depend on the body, which the cache ignores.

  rest_api_id = aws_api_gateway_rest_api.models.id
  stage_name  = aws_api_gateway_stage.models.stage_name
  method_path = "*/*"

  settings {
    metrics_enabled        = var.detailed_metrics
    throttling_rate_limit  = module.routes.throttle.requests_per_second
    throttling_burst_limit = module.routes.throttle.burst
  }
}

# For the alias only: the API may invoke no other version.
resource "aws_lambda_permission" "api" {
  for_each = module.routes.targets

  statement_id  = "api-${each.value.alias}-${aws_api_gateway_rest_api.models.id}"
  function_name = each.value.function_name
  qualifier     = each.value.alias
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.models.execution_arn}/*/*/v2/models/${each.value.model}*"

  depends_on = [var.functions]
}

resource "aws_lambda_permission" "catalog" {
  for_each = toset(module.routes.catalog_paths)

  statement_id  = "api-${substr(sha256(each.key), 0, 8)}-${aws_api_gateway_rest_api.models.id}"
  function_name = var.catalog.function_name
  action        = "lambda:InvokeFunction"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.models.execution_arn}/*/*${each.key}"

  depends_on = [var.functions]
}

resource "aws_api_gateway_usage_plan" "plan" {
  for_each = var.usage_plans

  name = "${var.name}-${each.key}"
  tags = var.tags

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

# Not keyed by plan, so that a key that moves to another plan keeps its value.
resource "aws_api_gateway_api_key" "key" {
  for_each = local.api_keys

  name = "${var.name}-${each.key}"
  tags = var.tags
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

module "domain" {
  source = "../api-domain"
  count  = var.domain == null ? 0 : 1

  domain = var.domain
  api_id = aws_api_gateway_rest_api.models.id
  stage  = aws_api_gateway_stage.models.stage_name
  tags   = var.tags
}
