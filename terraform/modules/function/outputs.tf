output "function_name" {
  value       = module.lambda.function_name
  description = "Name of the function."
}

output "function_arn" {
  value       = module.lambda.function_arn
  description = "ARN of the function, without an alias. Callers invoke an alias instead."
}

output "alias_arns" {
  value       = { for name, alias in aws_lambda_alias.model : name => alias.arn }
  description = "ARN of each alias, which callers invoke."
}

output "alias_invoke_arns" {
  value       = { for name, alias in aws_lambda_alias.model : name => alias.invoke_arn }
  description = "What API Gateway integrates with, by alias."
}

output "release_trigger" {
  value       = sha256(jsonencode(local.frozen))
  description = "Changes when the function's code or configuration changes. The releaser then releases its aliases again."
}

output "role_arn" {
  value       = module.lambda.role_arn
  description = "ARN of the function's role."
}

output "role_name" {
  value       = module.lambda.role_name
  description = "Name of the function's role, to attach further policies to."
}

output "log_group_name" {
  value       = module.lambda.log_group_name
  description = "Name of the log group that the function writes to."
}

output "role_policies" {
  value       = concat(module.lambda.policies, var.has_endpoints ? [local.endpoints_policy] : [])
  description = "What the role may do: policies (JSON) to attach to a role that you give."
}
