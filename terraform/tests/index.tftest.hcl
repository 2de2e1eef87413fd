# What the index may read.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name           = "acme_index"
  registry       = { bucket = "acme-models", prefix = "ml" }
  package        = { bucket = "acme-models", key = "control.zip", source_code_hash = "abc=" }
  releaser_name  = "acme_releaser"
  function_names = ["acme-fraud"]
}

run "index_reads_who_serves_what_and_no_model" {
  module {
    source = "./modules/index"
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.index.policy).Statement[1].Resource == [
      "arn:aws:s3:::acme-models/ml/deployments/*",
      "arn:aws:s3:::acme-models/ml/releases/123456789012-eu-central-1-acme-fraud-????????/*",
    ]
    error_message = "Policy: ${aws_iam_role_policy.index.policy}"
  }
  assert {
    condition     = [for statement in jsondecode(aws_iam_role_policy.index.policy).Statement : statement.Sid] == ["Log", "ReadWhoServesWhat", "ListWhoServesWhat"]
    error_message = "No further right."
  }
}

run "key_of_the_bucket_may_be_used_to_read" {
  module {
    source = "./modules/index"
  }
  variables {
    registry = { bucket = "acme-models", kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/abc" }
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.index.policy).Statement[3].Action == "kms:Decrypt"
    error_message = "Decrypts and encrypts nothing."
  }
}

run "python_that_current_wheels_do_not_run_on_is_refused" {
  command = plan
  module {
    source = "./modules/index"
  }
  variables {
    python = "3.11"
  }
  expect_failures = [var.python]
}

run "architecture_that_lambda_has_not_is_refused" {
  command = plan
  module {
    source = "./modules/index"
  }
  variables {
    architecture = "riscv"
  }
  expect_failures = [var.architecture]
}

run "name_with_a_dot_is_refused" {
  command = plan
  module {
    source = "./modules/index"
  }
  variables {
    name = "acme.index"
  }
  expect_failures = [var.name]
}

run "retention_that_cloudwatch_does_not_offer_is_refused" {
  command = plan
  module {
    source = "./modules/index"
  }
  variables {
    log_retention_days = 31
  }
  expect_failures = [var.log_retention_days]
}
