# Addresses of 0.1: Terraform keeps the objects.

moved {
  from = module.index
  to   = module.catalog
}

moved {
  from = aws_lambda_invocation.guard
  to   = aws_lambda_invocation.destroy_guard
}

moved {
  from = module.stager[0].aws_lambda_function.stager
  to   = module.file_system[0].module.stager.aws_lambda_function.function
}

moved {
  from = module.stager[0].aws_iam_role.stager
  to   = module.file_system[0].module.stager.aws_iam_role.function
}

moved {
  from = module.stager[0].aws_iam_role_policy.stager
  to   = module.file_system[0].module.stager.aws_iam_role_policy.function
}

moved {
  from = module.stager[0].aws_cloudwatch_log_group.stager
  to   = module.file_system[0].module.stager.module.log_group.aws_cloudwatch_log_group.logs
}

moved {
  from = module.stager[0].aws_iam_role_policy.report
  to   = module.file_system[0].aws_iam_role_policy.report
}

moved {
  from = module.stager[0].aws_lambda_function_event_invoke_config.stager
  to   = module.file_system[0].aws_lambda_function_event_invoke_config.stager
}

# The gateway to S3 is also for functions without a file system.
moved {
  from = module.file_system[0].aws_vpc_endpoint.s3[0]
  to   = module.network[0].aws_vpc_endpoint.s3[0]
}
