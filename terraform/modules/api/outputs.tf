output "url" {
  value       = var.domain == null ? aws_apigatewayv2_api.models.api_endpoint : "https://${aws_apigatewayv2_domain_name.api[0].domain_name}"
  description = "Base URL of the API: requests go to `<url>/v2/models/...`."

  # Who reads the URL may call it.
  depends_on = [
    aws_apigatewayv2_stage.default,
    aws_apigatewayv2_api_mapping.api,
    aws_apigatewayv2_route.model,
    aws_lambda_permission.api,
    aws_apigatewayv2_route.index,
    aws_lambda_permission.index,
  ]
}

output "api_id" {
  value       = aws_apigatewayv2_api.models.id
  description = "ID of the API."
}

output "stage_arn" {
  value       = local.stage_arn
  description = "What rights to call the API are written on: `<stage_arn>/<method>/<path>`. Name the method where the path ends in `/`: in a right, `*` reaches over slashes."
}

output "domain_target" {
  value = one([
    for domain in aws_apigatewayv2_domain_name.api : {
      name           = domain.domain_name_configuration[0].target_domain_name
      hosted_zone_id = domain.domain_name_configuration[0].hosted_zone_id
    }
  ])
  description = "What the domain's alias record in DNS points to; null without a domain."
}

output "log_group_name" {
  value       = aws_cloudwatch_log_group.access.name
  description = "Where requests are logged."
}

output "index_policy_json" {
  value = var.index == null ? null : jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ListModels"
      Effect   = "Allow"
      Action   = "execute-api:Invoke"
      Resource = flatten(local.index_calls)
    }]
  })
  description = "Policy for who lists the models through the API; null without an index."
}
