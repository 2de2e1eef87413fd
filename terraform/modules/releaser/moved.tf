# Addresses of 0.1: Terraform keeps the objects.

moved {
  from = aws_lambda_function.releaser
  to   = module.lambda.aws_lambda_function.function
}

moved {
  from = aws_iam_role.releaser
  to   = module.lambda.aws_iam_role.function
}

moved {
  from = aws_iam_role_policy.releaser
  to   = module.lambda.aws_iam_role_policy.function
}

moved {
  from = aws_cloudwatch_log_group.releaser
  to   = module.lambda.module.log_group.aws_cloudwatch_log_group.logs
}

moved {
  from = aws_cloudwatch_event_rule.sweep
  to   = aws_cloudwatch_event_rule.reconcile
}

moved {
  from = aws_cloudwatch_event_target.sweep
  to   = aws_cloudwatch_event_target.reconcile
}
