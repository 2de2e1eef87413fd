# What the catalog may read.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name           = "acme_index"
  package        = { bucket = "acme-models", key = "control.zip", source_code_hash = "abc=" }
  releaser_name  = "acme_releaser"
  function_names = ["acme-fraud"]

  registry = {
    bucket       = "acme-models"
    uri          = "s3://acme-models/ml"
    bucket_arn   = "arn:aws:s3:::acme-models"
    root         = "ml/"
    kms_key_arns = []
  }
}

run "catalog_reads_deployments_and_releases_and_no_model" {
  module {
    source = "./modules/catalog"
  }

  assert {
    condition = [for s in jsondecode(module.lambda.policies[0]).Statement : s.Resource if s.Sid == "ReadRegistry"] == [[
      "arn:aws:s3:::acme-models/ml/deployments/*",
      "arn:aws:s3:::acme-models/ml/releases/123456789012-eu-central-1-acme-fraud-????????/*",
    ]]
    error_message = "Policy: ${module.lambda.policies[0]}"
  }
  assert {
    condition     = [for statement in jsondecode(module.lambda.policies[0]).Statement : statement.Sid] == ["Log", "ReadRegistry", "ListRegistry"]
    error_message = "No further permission."
  }
}

run "catalog_knows_whose_functions_to_list" {
  module {
    source = "./modules/catalog"
  }

  assert {
    condition     = module.lambda.environment == tomap({ SHEARLING_REGISTRY = "s3://acme-models/ml", SHEARLING_RELEASER = "acme_releaser" })
    error_message = "Environment: ${jsonencode(module.lambda.environment)}"
  }
}
