# Log groups keep their events for a limited time.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name           = "/aws/lambda/acme-fraud"
  retention_days = 30
}

run "group_keeps_its_events_for_the_given_days" {
  module {
    source = "./modules/log-group"
  }

  assert {
    condition     = aws_cloudwatch_log_group.logs.name == "/aws/lambda/acme-fraud" && aws_cloudwatch_log_group.logs.retention_in_days == 30
    error_message = "Group: ${aws_cloudwatch_log_group.logs.name}"
  }
}

run "retention_that_cloudwatch_does_not_offer_is_refused" {
  command = plan
  module {
    source = "./modules/log-group"
  }
  variables {
    retention_days = 31
  }
  expect_failures = [var.retention_days]
}
