output "url" {
  value       = var.domain == null ? aws_apigatewayv2_api.models.api_endpoint : one(module.domain[*].url)
  description = "Base URL of the API. Requests go to `<url>/v2/models/...`."

  # Whoever has the URL can call it.
  depends_on = [
    aws_apigatewayv2_stage.default,
    aws_apigatewayv2_route.model,
    aws_lambda_permission.api,
    aws_apigatewayv2_route.catalog,
    aws_lambda_permission.catalog,
  ]
}

output "api_id" {
  value       = aws_apigatewayv2_api.models.id
  description = "ID of the API."
}

output "stage_arn" {
  value       = local.stage_arn
  description = "ARN of the stage, for policies that allow calls: `<stage_arn>/<method>/<path>`. Name the method where the path ends in `/`, because `*` also matches slashes."
}

output "domain_target" {
  value       = one(module.domain[*].target)
  description = "Name and hosted zone that the domain's alias record in DNS points to; null without a domain."
}

output "log_group_name" {
  value       = module.access_log.name
  description = "Name of the access log's group."
}

output "catalog_policy" {
  value = var.catalog == null || var.authorization != "AWS_IAM" ? null : jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ListModels"
      Effect   = "Allow"
      Action   = "execute-api:Invoke"
      Resource = [for call in module.routes.catalog_calls : "${local.stage_arn}/${call}"]
    }]
  })
  description = "IAM policy (JSON) for listing the models through the API; null without a catalog, and without IAM authorization, which alone asks for a permission."
}
