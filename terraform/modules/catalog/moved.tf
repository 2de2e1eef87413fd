# Addresses of 0.1, where this module was called index: Terraform keeps the objects.

moved {
  from = aws_lambda_function.index
  to   = module.lambda.aws_lambda_function.function
}

moved {
  from = aws_iam_role.index
  to   = module.lambda.aws_iam_role.function
}

moved {
  from = aws_iam_role_policy.index
  to   = module.lambda.aws_iam_role_policy.function
}

moved {
  from = aws_cloudwatch_log_group.index
  to   = module.lambda.module.log_group.aws_cloudwatch_log_group.logs
}
