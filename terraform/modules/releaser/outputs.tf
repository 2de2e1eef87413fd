output "function_name" {
  value       = module.lambda.function_name
  description = "Name of the releaser's function, for `shearling retry-release`."
}

output "function_arn" {
  value       = module.lambda.function_arn
  description = "ARN of the releaser's function."
}

output "release_policy" {
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "Release"
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = module.lambda.function_arn
    }]
  })
  description = "IAM policy (JSON) for running `shearling retry-release`: it may invoke the releaser, which releases only what the registry names."
}

output "failures_queue_url" {
  value       = aws_sqs_queue.failures.url
  description = "URL of the queue of events that the releaser gave up after its retries."
}

output "role_arn" {
  value       = module.lambda.role_arn
  description = "ARN of the releaser's role."
}

output "log_group_name" {
  value       = module.lambda.log_group_name
  description = "Name of the log group that the releaser writes to."
}

output "role_policies" {
  value       = module.lambda.policies
  description = "What the role may do: policies (JSON) to attach to a role that you give."
}

output "place" {
  value       = module.lambda.place
  description = "Partition, region and account of the stack, known in every plan after the first."
}
