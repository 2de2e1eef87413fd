output "function_name" {
  value       = aws_lambda_function.function.function_name
  description = "Name of the function."
}

output "function_arn" {
  value       = aws_lambda_function.function.arn
  description = "ARN of the function, without a version."
}

output "invoke_arn" {
  value       = aws_lambda_function.function.invoke_arn
  description = "What API Gateway integrates with."
}

output "published_version" {
  value       = aws_lambda_function.function.version
  description = "The version that the last apply published, for aliases to start at."
}

output "environment" {
  value       = local.environment
  description = "Environment variables that Terraform sets."
}

output "role_arn" {
  value       = local.role_arn
  description = "ARN of the role."
}

output "role_name" {
  value       = local.role_name
  description = "Name of the role."
}

output "policies" {
  value       = concat([local.policy_json], [for statements in local.managed_policies : jsonencode({ Version = "2012-10-17", Statement = statements })])
  description = "What the role may do: policies (JSON), the first inline, the others managed. Attach them to a role that is given."
}

output "log_group_name" {
  value       = module.log_group.name
  description = "Name of the log group."
}

# From an ARN in the state: data sources are unknown while a `depends_on` of the caller has changes, and an object with an
# unknown key is replaced.
output "place" {
  value       = regex("^arn:(?P<partition>[^:]+):logs:(?P<region>[^:]+):(?P<account>[^:]+):", module.log_group.arn)
  description = "Partition, region and account of the function, known in every plan after the first."
}
