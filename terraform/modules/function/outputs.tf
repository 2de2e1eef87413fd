output "function_name" {
  value       = aws_lambda_function.model.function_name
  description = "Name of the function."
}

output "function_arn" {
  value       = aws_lambda_function.model.arn
  description = "ARN of the function, unqualified: to reason about, not to invoke."
}

output "alias_arns" {
  value       = { for name, alias in aws_lambda_alias.model : name => alias.arn }
  description = "What callers invoke: the ARN of each alias."
}

output "alias_invoke_arns" {
  value       = { for name, alias in aws_lambda_alias.model : name => alias.invoke_arn }
  description = "What API Gateway integrates with, by alias."
}

output "configuration_hash" {
  # Of inputs only: what the function's own attributes say of its code is stale for one apply.
  value = sha256(jsonencode({
    package              = var.package.source_code_hash
    python               = var.python
    architecture         = var.architecture
    memory_mb            = var.memory_mb
    timeout_seconds      = var.timeout_seconds
    ephemeral_storage_mb = var.ephemeral_storage_mb
    snap_start           = var.snap_start
    environment          = local.environment
    network              = var.network
    file_system          = var.file_system
  }))
  description = "Changes when the function's code or configuration does: then its aliases must be released anew."
}

output "role_arn" {
  value       = aws_iam_role.function.arn
  description = "ARN of the function's role."
}

output "role_name" {
  value       = aws_iam_role.function.name
  description = "Name of the function's role, to attach further policies to."
}

output "log_group_name" {
  value       = aws_cloudwatch_log_group.function.name
  description = "Where the function logs."
}
