# Addresses of 0.1: Terraform keeps the objects.

moved {
  from = aws_cloudwatch_log_group.access[0]
  to   = module.access_log[0].aws_cloudwatch_log_group.logs
}

moved {
  from = aws_lambda_permission.index
  to   = aws_lambda_permission.catalog
}

moved {
  from = aws_apigatewayv2_domain_name.api[0]
  to   = module.domain[0].aws_apigatewayv2_domain_name.api
}

moved {
  from = aws_apigatewayv2_api_mapping.api[0]
  to   = module.domain[0].aws_apigatewayv2_api_mapping.api
}
