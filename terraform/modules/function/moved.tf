# Addresses of 0.1: Terraform keeps the objects.

moved {
  from = aws_lambda_function.model
  to   = module.lambda.aws_lambda_function.function
}

moved {
  from = aws_iam_role.function
  to   = module.lambda.aws_iam_role.function
}

moved {
  from = aws_iam_role_policy.function
  to   = module.lambda.aws_iam_role_policy.function
}

moved {
  from = aws_cloudwatch_log_group.function
  to   = module.lambda.module.log_group.aws_cloudwatch_log_group.logs
}
