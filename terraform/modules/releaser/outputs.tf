output "function_name" {
  value       = aws_lambda_function.releaser.function_name
  description = "Name of the releaser's function, for `shearling release`."
}

output "function_arn" {
  value       = aws_lambda_function.releaser.arn
  description = "ARN of the releaser's function."
}

output "release_policy_json" {
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Release"
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = aws_lambda_function.releaser.arn
    }]
  })
  description = "Policy for who runs `shearling release`: invokes the releaser, which decides nothing that the registry does not say."
}

output "failures_queue_url" {
  value       = aws_sqs_queue.failures.url
  description = "Queue of what the releaser gave up, after retries."
}

output "role_arn" {
  value       = aws_iam_role.releaser.arn
  description = "ARN of the releaser's role."
}

output "log_group_name" {
  value       = aws_cloudwatch_log_group.releaser.name
  description = "Where the releaser logs."
}
