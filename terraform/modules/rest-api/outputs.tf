output "url" {
  value       = var.domain == null ? aws_api_gateway_stage.models.invoke_url : "https://${aws_apigatewayv2_domain_name.api[0].domain_name}"
  description = "Base URL of the API, its stage included: requests go to `<url>/v2/models/...`."

  # Who reads the URL may call it.
  depends_on = [
    aws_api_gateway_method_settings.all,
    aws_api_gateway_usage_plan_key.key,
    aws_apigatewayv2_api_mapping.api,
    aws_wafv2_web_acl_association.api,
    aws_lambda_permission.api,
    aws_lambda_permission.index,
  ]
}

output "api_id" {
  value       = aws_api_gateway_rest_api.models.id
  description = "ID of the API."
}

output "stage_arn" {
  value       = local.stage_arn
  description = "What rights to call the API are written on: `<stage_arn>/<method>/<path>`. Name the method where the path ends in `/`: in a right, `*` reaches over slashes."
}

output "api_keys" {
  value       = { for name, key in aws_api_gateway_api_key.key : name => key.value }
  sensitive   = true
  description = "Value of each key, by its name: what callers send as `x-api-key`."
}

output "usage_plan_ids" {
  value       = { for name, plan in aws_api_gateway_usage_plan.plan : name => plan.id }
  description = "ID of each usage plan, by its name, to add keys to that are made elsewhere."
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
  value       = one(aws_cloudwatch_log_group.access[*].name)
  description = "Where requests are logged; null without an access log."
}

output "index_policy_json" {
  value = var.index == null ? null : jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ListModelsByRestApi"
      Effect   = "Allow"
      Action   = "execute-api:Invoke"
      Resource = flatten(local.index_calls)
    }]
  })
  description = "Policy for who lists the models through the API; null without an index."
}
