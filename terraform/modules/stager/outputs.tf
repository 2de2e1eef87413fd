output "function_name" {
  value       = aws_lambda_function.stager.function_name
  description = "Name of the stager's function."
}

output "function_arn" {
  value       = aws_lambda_function.stager.arn
  description = "ARN of the stager's function, for the releaser."
}

output "role_arn" {
  value       = aws_iam_role.stager.arn
  description = "ARN of the stager's role, for the file system's policy."
}

output "log_group_name" {
  value       = aws_cloudwatch_log_group.stager.name
  description = "Where the stager logs."
}
