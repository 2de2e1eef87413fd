# A domain name for an API, and what is refused.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  domain = { name = "models.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1" }
  api_id = "abcdef1234"
  stage  = "live"
}

run "api_answers_at_a_domain_with_tls_1_2" {
  module {
    source = "./modules/api-domain"
  }

  assert {
    condition = (
      aws_apigatewayv2_domain_name.api.domain_name_configuration[0].security_policy == "TLS_1_2"
      && aws_apigatewayv2_domain_name.api.domain_name_configuration[0].endpoint_type == "REGIONAL"
      && aws_apigatewayv2_domain_name.api.domain_name_configuration[0].certificate_arn == var.domain.certificate_arn
      && aws_apigatewayv2_api_mapping.api.stage == "live"
      && aws_apigatewayv2_api_mapping.api.api_id == "abcdef1234"
    )
    error_message = "The domain is regional, with that certificate, and serves the stage of the API."
  }
  assert {
    condition     = output.url == "https://models.example.com"
    error_message = "URL: ${output.url}"
  }
  assert {
    condition = output.target == {
      name           = aws_apigatewayv2_domain_name.api.domain_name_configuration[0].target_domain_name
      hosted_zone_id = aws_apigatewayv2_domain_name.api.domain_name_configuration[0].hosted_zone_id
    }
    error_message = "Target: ${jsonencode(output.target)}"
  }
}

run "domain_with_a_scheme_is_refused" {
  command = plan
  module {
    source = "./modules/api-domain"
  }
  variables {
    domain = { name = "https://models.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1" }
  }
  expect_failures = [var.domain]
}

run "certificate_of_another_region_is_refused" {
  command = plan
  module {
    source = "./modules/api-domain"
  }
  variables {
    domain = { name = "models.example.com", certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/1" }
  }
  expect_failures = [var.domain]
}
