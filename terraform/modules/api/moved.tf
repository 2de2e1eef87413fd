# Addresses of 0.1: Terraform keeps the objects.

moved {
  from = aws_cloudwatch_log_group.access
  to   = module.access_log.aws_cloudwatch_log_group.logs
}

moved {
  from = aws_apigatewayv2_integration.index
  to   = aws_apigatewayv2_integration.catalog
}

moved {
  from = aws_apigatewayv2_route.index
  to   = aws_apigatewayv2_route.catalog
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
