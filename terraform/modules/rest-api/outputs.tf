output "url" {
  value       = var.domain == null ? aws_api_gateway_stage.models.invoke_url : one(module.domain[*].url)
  description = "Base URL of the API, with its stage. Requests go to `<url>/v2/models/...`."

  # Whoever has the URL can call it.
  depends_on = [
    aws_api_gateway_method_settings.all,
    aws_api_gateway_usage_plan_key.key,
    aws_wafv2_web_acl_association.api,
    aws_lambda_permission.api,
    aws_lambda_permission.catalog,
  ]
}

output "api_id" {
  value       = aws_api_gateway_rest_api.models.id
  description = "ID of the API."
}

output "stage_arn" {
  value       = local.stage_arn
  description = "ARN of the stage, for policies that allow calls: `<stage_arn>/<method>/<path>`. Name the method where the path ends in `/`, because `*` also matches slashes."
}

output "api_keys" {
  value       = { for name, key in aws_api_gateway_api_key.key : name => key.value }
  sensitive   = true
  description = "Value of each key, by name, which callers send as `x-api-key`."
}

output "usage_plan_ids" {
  value       = { for name, plan in aws_api_gateway_usage_plan.plan : name => plan.id }
  description = "ID of each usage plan, by name, to add keys that are created elsewhere."
}

output "domain_target" {
  value       = one(module.domain[*].target)
  description = "Name and hosted zone that the domain's alias record in DNS points to; null without a domain."
}

output "log_group_name" {
  value       = one(module.access_log[*].name)
  description = "Name of the access log's group; null without an access log."
}

output "catalog_policy" {
  value = var.catalog == null || var.authorization != "AWS_IAM" ? null : jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "ListModelsByRestApi"
      Effect   = "Allow"
      Action   = "execute-api:Invoke"
      Resource = [for call in module.routes.catalog_calls : "${local.stage_arn}/${call}"]
    }]
  })
  description = "IAM policy (JSON) for listing the models through the API; null without a catalog, and without IAM authorization, which alone asks for a permission."
}
