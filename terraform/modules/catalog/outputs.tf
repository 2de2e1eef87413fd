output "function_name" {
  value       = module.lambda.function_name
  description = "Name of the catalog's function."
}

output "invoke_arn" {
  value       = module.lambda.invoke_arn
  description = "What API Gateway integrates with."
}

output "role_arn" {
  value       = module.lambda.role_arn
  description = "ARN of the catalog's role."
}

output "role_name" {
  value       = module.lambda.role_name
  description = "Name of the catalog's role."
}

output "log_group_name" {
  value       = module.lambda.log_group_name
  description = "Name of the log group that the catalog writes to."
}

output "role_policies" {
  value       = module.lambda.policies
  description = "What the role may do: policies (JSON) to attach to a role that you give."
}
