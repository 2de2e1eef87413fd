output "function_name" {
  value       = aws_lambda_function.index.function_name
  description = "Name of the index's function."
}

output "invoke_arn" {
  value       = aws_lambda_function.index.invoke_arn
  description = "What API Gateway integrates with."
}

output "role_name" {
  value       = aws_iam_role.index.name
  description = "Name of the index's role."
}

output "log_group_name" {
  value       = aws_cloudwatch_log_group.index.name
  description = "Where the index logs."
}
