output "name" {
  value       = aws_cloudwatch_log_group.logs.name
  description = "Name of the log group."
}

output "arn" {
  value       = aws_cloudwatch_log_group.logs.arn
  description = "ARN of the log group, without the `:*` that a policy needs."
}
