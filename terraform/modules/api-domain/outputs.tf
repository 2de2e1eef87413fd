output "url" {
  value       = "https://${aws_apigatewayv2_domain_name.api.domain_name}"
  description = "Base URL of the API at the domain."
  depends_on  = [aws_apigatewayv2_api_mapping.api]
}

output "target" {
  value = {
    name           = aws_apigatewayv2_domain_name.api.domain_name_configuration[0].target_domain_name
    hosted_zone_id = aws_apigatewayv2_domain_name.api.domain_name_configuration[0].hosted_zone_id
  }
  description = "Name and hosted zone that the domain's alias record in DNS points to."
}
