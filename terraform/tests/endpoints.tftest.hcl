# Models with endpoints in the whole stack: what one block of a model creates, what it hands out, and what it excludes.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name               = "acme"
  packages           = { runtime = "tests/packages/runtime.zip", control = "tests/packages/control.zip" }
  endpoint_image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
  models = {
    fraud = { aliases = { prod = {}, staging = {} }, default_alias = "prod" }
    embed = { memory_mb = 512, timeout_seconds = 65, aliases = { prod = {} }, sagemaker = { instance_type = "ml.m5.xlarge", instances = { min = 1, max = 4 } } }
    rank  = { memory_mb = 512, aliases = { prod = {} }, sagemaker = { serverless = { memory_mb = 6144, max_concurrency = 20 } } }
    video = { memory_mb = 512, timeout_seconds = 900, aliases = { prod = {} }, jobs = {}, sagemaker = { instance_type = "ml.g5.xlarge" } }
  }
}

run "functions_of_models_with_endpoints_may_call_them" {
  assert {
    condition     = { for name, policies in output.role_policies : name => length(policies) } == { acme-embed = 2, acme-fraud = 1, acme-rank = 2, acme-video = 2, acme_releaser = 2 }
    error_message = "Policies: ${jsonencode(output.role_policies)}"
  }
  assert {
    condition     = sort(keys(output.endpoint_role_arns)) == tolist(["embed", "rank", "video"]) && sort(keys(output.endpoint_role_policies)) == tolist(["embed", "rank", "video"])
    error_message = "Roles: ${jsonencode(output.endpoint_role_arns)}"
  }
}

run "asynchronous_endpoint_and_its_function_share_the_folder_of_calls" {
  variables {
    models = {
      video = { memory_mb = 512, timeout_seconds = 900, aliases = { prod = {} }, jobs = {}, sagemaker = { instance_type = "ml.g5.xlarge", instances = { min = 0 } } }
    }
  }

  assert {
    condition = (
      module.sagemaker[0].endpoints["video"].calls_uri == "s3://${module.jobs[0].buckets["video"]}/calls"
      && local.endpoint_calls == { video = module.sagemaker[0].endpoints["video"].calls_uri }
      && strcontains(output.endpoint_role_policies["video"], "${module.jobs[0].bucket_arns["video"]}/calls/*")
    )
    error_message = "Endpoint: ${jsonencode(module.sagemaker[0].endpoints)}"
  }
}

run "stack_without_endpoints_has_none" {
  variables {
    models = { fraud = { aliases = { prod = {} } } }
  }

  assert {
    condition     = length(module.sagemaker) == 0 && length(module.image_repository) == 0 && output.image_repository_url == null && output.endpoint_role_arns == {} && length(output.role_policies["acme_releaser"]) == 1
    error_message = "Policies: ${jsonencode(output.role_policies)}"
  }
}

run "repository_may_come_before_its_first_image" {
  variables {
    models             = {}
    endpoint_image_uri = null
    image_repository   = {}
  }

  assert {
    condition     = output.image_repository_url == "123456789012.dkr.ecr.eu-central-1.amazonaws.com/acme"
    error_message = "URL: ${output.image_repository_url}"
  }
}

run "containers_run_in_the_network_of_the_model" {
  variables {
    models = { embed = { aliases = { prod = {} }, network = { security_group_ids = ["sg-1"] }, sagemaker = { instance_type = "ml.m5.xlarge" } } }
    vpc    = { vpc_id = "vpc-1", subnets = { a = "subnet-1" } }
  }

  assert {
    condition     = module.sagemaker[0].endpoints["embed"].subnet_ids == tolist(["subnet-1"]) && module.sagemaker[0].endpoints["embed"].security_group_ids == tolist(["sg-1"])
    error_message = "Endpoint: ${jsonencode(module.sagemaker[0].endpoints)}"
  }
}

run "network_that_reaches_s3_alone_is_refused" {
  command = plan
  variables {
    models = { embed = { aliases = { prod = {} }, network = {}, sagemaker = { instance_type = "ml.m5.xlarge" } } }
    vpc    = { vpc_id = "vpc-1", subnets = { a = "subnet-1" } }
  }
  expect_failures = [var.models]
}

run "timeout_for_a_whole_minute_is_warned_of_behind_an_api" {
  command = plan
  variables {
    models = { embed = { timeout_seconds = 65, aliases = { prod = {} }, sagemaker = { instance_type = "ml.m5.xlarge" } } }
    api    = {}
  }
  expect_failures = [check.api_timeout]
}
