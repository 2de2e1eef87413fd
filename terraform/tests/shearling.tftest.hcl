# The modules together: what the face of the module accepts, refuses and hands out.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name     = "acme"
  packages = { runtime = "tests/packages/runtime.zip", control = "tests/packages/control.zip" }
  models = {
    fraud = { memory_mb = 2048, aliases = { prod = {}, staging = {} }, default_alias = "prod" }
    embed = { aliases = { prod = { provisioned_concurrency = 2 } } }
  }
  api = {}
}

run "functions_registry_and_releaser_are_named_after_the_name" {
  assert {
    condition     = output.function_names == { embed = "acme-embed", fraud = "acme-fraud" }
    error_message = "Functions: ${jsonencode(output.function_names)}"
  }
  assert {
    condition     = output.releaser_name == "acme_releaser" && output.registry_uri == "s3://acme-123456789012-eu-central-1"
    error_message = "Releaser and registry."
  }
  assert {
    condition     = toset(keys(output.alias_arns)) == toset(["embed:prod", "fraud:prod", "fraud:staging"])
    error_message = "Aliases: ${jsonencode(output.alias_arns)}"
  }
  assert {
    condition     = output.api_url == "https://abcdef1234.execute-api.eu-central-1.amazonaws.com"
    error_message = "The API is there."
  }
  assert {
    condition     = toset(keys(output.promote_policies)) == toset(keys(output.alias_arns))
    error_message = "A policy to promote for each alias."
  }
}

run "who_invokes_an_alias_reaches_no_other" {
  assert {
    condition = jsondecode(output.invoke_policies["fraud:staging"]).Statement == [
      {
        Sid      = "InvokeAlias"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = "arn:aws:lambda:eu-central-1:123456789012:function:mocked:alias"
      },
      {
        Sid    = "CallApi"
        Effect = "Allow"
        Action = "execute-api:Invoke"
        Resource = [
          "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud/versions/staging/*",
          "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud/versions/staging/*",
          "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/POST/v2/models/fraud/versions/staging/*",
          "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud/versions/staging",
          "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud/versions/staging",
        ]
      },
    ]
    error_message = "Policy: ${output.invoke_policies["fraud:staging"]}"
  }
  assert {
    condition = jsondecode(output.invoke_policies["fraud:prod"]).Statement[1].Resource == [
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud/versions/prod/*",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud/versions/prod/*",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/POST/v2/models/fraud/versions/prod/*",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud/versions/prod",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud/versions/prod",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud/docs",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud/docs",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud/openapi.json",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud/openapi.json",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud/ready",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud/ready",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/POST/v2/models/fraud/infer",
    ]
    error_message = "The default alias also answers without a version: ${output.invoke_policies["fraud:prod"]}"
  }
}

run "only_iam_authorization_asks_for_a_permission_to_call_the_api" {
  variables {
    api      = { authorization = "JWT", jwt = { issuer = "https://example.com", audience = ["models"] } }
    rest_api = { authorization = "NONE", usage_plans = {} }
  }

  assert {
    condition     = !strcontains(jsonencode(output.invoke_policies), "execute-api") && output.index_policy == null
    error_message = "Policies: ${jsonencode(output.invoke_policies)}, ${jsonencode(output.index_policy)}"
  }
}

run "without_an_api_there_is_no_url_and_no_default_alias_is_needed" {
  variables {
    api    = null
    models = { fraud = { aliases = { prod = {}, staging = {} } } }
  }

  assert {
    condition     = output.api_url == null && length(jsondecode(output.invoke_policies["fraud:prod"]).Statement) == 1
    error_message = "Direct invocation only."
  }
}

run "rest_api_may_stand_beside_the_http_api" {
  variables {
    rest_api = {
      usage_plans = { gold = { requests_per_second = 50, burst = 100, api_keys = ["checkout"] } }
    }
  }

  assert {
    condition     = output.api_url == "https://abcdef1234.execute-api.eu-central-1.amazonaws.com" && output.rest_api_url == "https://fedcba4321.execute-api.eu-central-1.amazonaws.com/live"
    error_message = "URLs: ${output.api_url}, ${output.rest_api_url}"
  }
  assert {
    condition     = issensitive(output.rest_api_keys) && keys(nonsensitive(output.rest_api_keys)) == ["checkout"] && keys(output.rest_api_usage_plan_ids) == ["gold"]
    error_message = "Keys and plans."
  }
  assert {
    condition = jsondecode(output.invoke_policies["fraud:staging"]).Statement[1].Resource == [
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud/versions/staging/*",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud/versions/staging/*",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/POST/v2/models/fraud/versions/staging/*",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/v2/models/fraud/versions/staging",
      "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/HEAD/v2/models/fraud/versions/staging",
      "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/live/GET/v2/models/fraud/versions/staging/*",
      "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/live/HEAD/v2/models/fraud/versions/staging/*",
      "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/live/POST/v2/models/fraud/versions/staging/*",
      "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/live/GET/v2/models/fraud/versions/staging",
      "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/live/HEAD/v2/models/fraud/versions/staging",
    ]
    error_message = "Policy: ${output.invoke_policies["fraud:staging"]}"
  }
  assert {
    condition = { for statement in jsondecode(output.index_policy).Statement : statement.Sid => statement.Resource[0] } == {
      ListModels          = "arn:aws:execute-api:eu-central-1:123456789012:abcdef1234/$default/GET/"
      ListModelsByRestApi = "arn:aws:execute-api:eu-central-1:123456789012:fedcba4321/live/GET/"
    }
    error_message = "Policy: ${output.index_policy}"
  }
}

run "rest_api_may_stand_alone" {
  variables {
    api      = null
    rest_api = { stage = "v1", access_log = false, domain = { name = "models.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1" } }
  }

  assert {
    condition     = output.api_url == null && output.rest_api_url == "https://models.example.com" && output.rest_api_domain_target != null && length(module.catalog) == 1
    error_message = "URL: ${output.rest_api_url}"
  }
  assert {
    condition     = length(jsondecode(output.invoke_policies["fraud:prod"]).Statement) == 2 && length(jsondecode(output.index_policy).Statement) == 1
    error_message = "Policy: ${output.invoke_policies["fraud:prod"]}"
  }
}

run "model_may_have_a_package_of_its_own" {
  variables {
    models = { fraud = { aliases = { prod = {} }, package = "tests/packages/own.zip", python = "3.12", allow_pickle = true } }
  }

  assert {
    condition     = toset(keys(module.registry.packages)) == toset(["tests/packages/runtime.zip", "tests/packages/control.zip", "tests/packages/own.zip"])
    error_message = "Packages: ${jsonencode(module.registry.packages)}"
  }
}

run "registry_may_be_one_that_exists" {
  variables {
    registry = { bucket = "shared-models", prefix = "ml" }
  }

  assert {
    condition     = output.registry_uri == "s3://shared-models/ml"
    error_message = "Registry: ${output.registry_uri}"
  }
}

run "timeout_beyond_the_apis_is_warned_of" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, timeout_seconds = 60 } }
  }
  expect_failures = [check.api_timeout]
}

run "timeout_beyond_the_rest_apis_is_warned_of" {
  command = plan
  variables {
    api      = null
    rest_api = { timeout_seconds = 60 }
    models   = { fraud = { aliases = { prod = {} }, timeout_seconds = 90 } }
  }
  expect_failures = [check.rest_api_timeout]
}

run "rest_api_with_a_higher_quota_waits_for_a_longer_timeout" {
  command = plan
  variables {
    api      = null
    rest_api = { timeout_seconds = 60 }
    models   = { fraud = { aliases = { prod = {} }, timeout_seconds = 60 } }
  }
}

run "timeout_beyond_30_seconds_is_fine_without_an_api" {
  command = plan
  variables {
    api    = null
    models = { fraud = { aliases = { prod = {} }, timeout_seconds = 60 } }
  }
}

run "name_with_capitals_is_refused" {
  command = plan
  variables {
    name = "Acme"
  }
  expect_failures = [var.name]
}

run "name_too_long_for_a_bucket_is_refused" {
  command = plan
  variables {
    name = "a23456789-123456789-123456789-123"
  }
  expect_failures = [var.name]
}

run "model_with_an_underscore_is_refused" {
  command = plan
  variables {
    models = { my_model = { aliases = { prod = {} } } }
  }
  expect_failures = [var.models]
}

run "model_whose_names_would_be_too_long_is_refused" {
  command = plan
  variables {
    name   = "a23456789-123456789"
    models = { m23456789-123456789-123456789-123456 = { aliases = { prod = {} } } }
  }
  expect_failures = [var.models]
}

run "default_alias_that_does_not_exist_is_refused" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, default_alias = "production" } }
  }
  expect_failures = [var.models]
}

run "several_aliases_and_no_default_are_refused_with_an_api" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {}, staging = {} } } }
  }
  expect_failures = [var.models]
}

run "several_aliases_and_no_default_are_refused_with_a_rest_api" {
  command = plan
  variables {
    api      = null
    rest_api = {}
    models   = { fraud = { aliases = { prod = {}, staging = {} } } }
  }
  expect_failures = [var.models]
}

run "domain_of_both_apis_is_refused" {
  command = plan
  variables {
    api      = { domain = { name = "models.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1" } }
    rest_api = { domain = { name = "models.example.com", certificate_arn = "arn:aws:acm:eu-central-1:123456789012:certificate/1" } }
  }
  expect_failures = [var.rest_api]
}

run "force_destroy_of_a_bucket_that_exists_is_refused" {
  command = plan
  variables {
    registry = { bucket = "shared-models", force_destroy = true }
  }
  expect_failures = [var.registry]
}

run "model_with_a_file_system_gets_one_and_a_stager" {
  variables {
    models = {
      fraud = { aliases = { prod = {} } }
      embed = { aliases = { prod = { provisioned_concurrency = 1 } }, file_system = {} }
    }
    vpc = { vpc_id = "vpc-1", subnets = { a = "subnet-1" } }
  }

  assert {
    condition     = output.stager_name == "acme_stager" && length(module.file_system) == 1
    error_message = "Stager: ${jsonencode(output.stager_name)}"
  }
  assert {
    condition = jsondecode(output.prune_policy).Statement == [
      {
        Sid      = "ReadPins"
        Effect   = "Allow"
        Action   = ["lambda:GetFunctionConfiguration", "lambda:ListVersionsByFunction"]
        Resource = [module.function["embed"].function_arn, "${module.function["embed"].function_arn}:*"]
      },
      {
        Sid      = "Prune"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = module.file_system[0].stager_arn
      },
    ]
    error_message = "Policy: ${output.prune_policy}"
  }
}

run "without_a_file_system_there_is_no_stager" {
  assert {
    condition     = output.stager_name == null && output.security_group_id == null && output.prune_policy == null && length(module.file_system) == 0
    error_message = "Nothing that nobody asked for."
  }
}

run "file_system_without_a_vpc_is_refused" {
  command = plan
  variables {
    models = { embed = { aliases = { prod = {} }, file_system = {} } }
  }
  expect_failures = [var.vpc]
}

run "vpc_without_a_subnet_is_refused" {
  command = plan
  variables {
    vpc = { vpc_id = "vpc-1", subnets = {} }
  }
  expect_failures = [var.vpc]
}

run "subnet_with_two_names_is_refused" {
  command = plan
  variables {
    models = { embed = { file_system = {}, aliases = { prod = {} } } }
    vpc    = { vpc_id = "vpc-1", subnets = { a = "subnet-1", b = "subnet-1" } }
  }
  expect_failures = [var.vpc]
}

run "open_rest_api_must_be_typed" {
  command = plan
  variables {
    rest_api = { authorization = "NONE" }
  }
  expect_failures = [var.rest_api]
}

run "unknown_attribute_of_a_model_is_refused" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, memory = 2048 } }
  }
  expect_failures = [var.models]
}

run "unknown_attribute_of_an_alias_is_refused" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = { provisioned_concurency = 2 } } } }
  }
  expect_failures = [var.models]
}

run "unknown_attribute_of_the_registry_is_refused" {
  command = plan
  variables {
    registry = { buket = "shared-models" }
  }
  expect_failures = [var.registry]
}

run "previous_keys_are_refused_under_their_old_name" {
  command = plan
  variables {
    registry = { former_kms_key_arns = [] }
  }
  expect_failures = [var.registry]
}

run "unknown_attribute_of_the_vpc_is_refused" {
  command = plan
  variables {
    vpc = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }
  }
  expect_failures = [var.vpc]
}

run "file_system_that_is_no_object_is_refused" {
  command = plan
  variables {
    file_system = "arn:aws:elasticfilesystem:eu-central-1:123456789012:access-point/fsap-1"
  }
  expect_failures = [var.file_system]
}

run "unknown_attribute_of_the_file_system_is_refused" {
  command = plan
  variables {
    file_system = { existing = { access_point = "arn" } }
  }
  expect_failures = [var.file_system]
}

run "unknown_attribute_of_the_api_is_refused" {
  command = plan
  variables {
    api = { throttle = { rate = 5 } }
  }
  expect_failures = [var.api]
}

run "unknown_attribute_of_the_rest_api_is_refused" {
  command = plan
  variables {
    rest_api = { authorization = "NONE", usage_plans = { gold = { requests_per_second = 5, burst = 5, quota = { requests = 5, period = "DAY", offset = 2 } } } }
  }
  expect_failures = [var.rest_api]
}

run "models_that_are_not_deployed_may_be_pushed" {
  variables {
    push_models                   = ["churn"]
    releaser_reserved_concurrency = 2
  }
  assert {
    condition = alltrue([
      for model in ["churn", "embed", "fraud"] : strcontains(output.push_policy, "/models/${model}/versions/??????????.json")
    ])
    error_message = "Push policy: ${output.push_policy}"
  }
  assert {
    condition     = output.push_policies == [output.push_policy]
    error_message = "All models fit into one policy."
  }
}

run "models_that_need_several_policies_have_no_single_one" {
  variables {
    push_models = [for n in range(60) : "model-${n}"]
  }
  assert {
    condition     = output.push_policy == null && length(output.push_policies) > 1
    error_message = "Policies: ${length(output.push_policies)}"
  }
}

run "model_to_push_with_a_slash_is_refused" {
  command = plan
  variables {
    push_models = ["fraud/versions"]
  }
  expect_failures = [var.push_models]
}

run "network_is_refused_under_its_old_name" {
  command = plan
  variables {
    network = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }
  }
  expect_failures = [var.network]
}

run "sweep_minutes_is_refused_under_its_old_name" {
  command = plan
  variables {
    sweep_minutes = 5
  }
  expect_failures = [var.sweep_minutes]
}

run "vpc_that_no_model_uses_is_warned_of" {
  command = plan
  variables {
    vpc = { vpc_id = "vpc-1", subnets = { a = "subnet-1" } }
  }
  expect_failures = [check.vpc_is_used]
}

run "memory_that_is_no_number_is_refused" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, memory_mb = "x" } }
  }
  expect_failures = [var.models]
}

run "registry_in_another_region_behind_a_gateway_is_refused" {
  command = plan
  variables {
    registry = { bucket = "shared-models", region = "us-west-2", packages_bucket = "packages-here" }
    models   = { embed = { file_system = {}, aliases = { prod = {} } } }
    vpc      = { vpc_id = "vpc-1", subnets = { a = "subnet-1" }, route_table_ids = ["rtb-1"] }
  }
  expect_failures = [var.registry]
}

run "policy_of_a_bucket_that_exists_is_handed_out" {
  variables {
    registry = { bucket = "shared-models", accounts = ["222222222222"] }
  }

  assert {
    condition     = strcontains(output.bucket_policy, "arn:aws:iam::222222222222:root")
    error_message = "Policy: ${output.bucket_policy}"
  }
}

run "packages_may_be_in_s3_or_on_this_machine" {
  variables {
    packages = { runtime = { bucket = "builds", key = "runtime.zip", source_code_hash = "aGFzaA==" }, control = "tests/packages/control.zip" }
    models = {
      fraud = { aliases = { prod = {} } }
      embed = { aliases = { prod = {} }, package = "tests/packages/own.zip" }
      rank  = { aliases = { prod = {} }, package = { bucket = "builds", key = "rank.zip", source_code_hash = "aGFzaA==" } }
      score = { aliases = { prod = {} }, package = null }
    }
  }

  assert {
    condition = { for name, package in local.function_packages : name => package.key } == {
      control        = module.registry.packages["tests/packages/control.zip"].key
      runtime        = "runtime.zip"
      "models/embed" = module.registry.packages["tests/packages/own.zip"].key
      "models/rank"  = "rank.zip"
    }
    error_message = "Packages: ${jsonencode(local.function_packages)}"
  }
  assert {
    condition     = length(module.registry.packages) == 2
    error_message = "Uploaded: ${jsonencode(module.registry.packages)}"
  }
}

run "package_without_a_hash_is_refused" {
  command = plan
  variables {
    packages = { runtime = { bucket = "builds", key = "runtime.zip" }, control = "tests/packages/control.zip" }
  }
  expect_failures = [var.packages]
}

run "packages_without_a_kind_are_refused" {
  command = plan
  variables {
    packages = { runtime = "tests/packages/runtime.zip" }
  }
  expect_failures = [var.packages]
}

run "package_of_a_model_without_a_hash_is_refused" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, package = { bucket = "builds", key = "fraud.zip" } } }
  }
  expect_failures = [var.models]
}

run "a_model_may_have_an_image_in_place_of_the_common_package" {
  command = plan
  variables {
    models = {
      fraud = { aliases = { prod = {} } }
      big = {
        aliases   = { prod = {} }
        image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
      }
    }
  }
  assert {
    condition     = output.function_names == { big = "acme-big", fraud = "acme-fraud" }
    error_message = "Functions: ${jsonencode(output.function_names)}"
  }
}

run "package_of_a_model_with_an_image_is_refused" {
  command = plan
  variables {
    models = {
      big = {
        aliases   = { prod = {} }
        package   = "tests/packages/runtime.zip"
        image_uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
      }
    }
  }
  expect_failures = [var.models]
}

run "model_that_is_no_object_is_refused" {
  command = plan
  variables {
    models = { fraud = "prod" }
  }
  expect_failures = [var.models]
}

run "models_with_a_network_run_in_the_vpc_and_share_a_group_that_reaches_s3_alone" {
  variables {
    models = {
      fraud = { aliases = { prod = {} }, network = {} }
      rank  = { aliases = { prod = {} }, network = { security_group_ids = ["sg-1"] } }
      embed = { aliases = { prod = {} } }
    }
    vpc = { vpc_id = "vpc-1", subnets = { a = "subnet-1" } }
  }

  assert {
    condition = jsonencode(local.vpc_configs) == jsonencode({
      fraud = { subnet_ids = ["subnet-1"], security_group_ids = [module.network[0].security_group_id] }
      rank  = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    })
    error_message = "Networks: ${jsonencode(local.vpc_configs)}"
  }
  assert {
    condition     = length(module.file_system) == 0
    error_message = "There is a file system."
  }
}

run "model_with_a_network_reaches_the_buckets_of_its_events" {
  variables {
    models = {
      fraud = {
        aliases = { prod = {} }
        network = {}
        events  = { incoming = { source = { bucket = "acme-incoming", prefix = "a/" }, output = { prefix = "scored/" } } }
      }
      embed = {
        aliases = { prod = {} }
        events  = { incoming = { source = { bucket = "acme-texts" }, output = { bucket = "acme-vectors", prefix = "v/" } } }
      }
    }
    vpc = { vpc_id = "vpc-1", subnets = { a = "subnet-1" }, route_table_ids = ["rtb-1"] }
  }

  assert {
    condition = toset(flatten([
      for statement in jsondecode(module.network[0].gateway_policy).Statement : statement.Resource if startswith(statement.Sid, "Write")
      ])) == toset([
      "arn:aws:s3:::acme-incoming", "arn:aws:s3:::acme-incoming/*",
      "arn:aws:s3:::acme-io-123456789012-eu-central-1", "arn:aws:s3:::acme-io-123456789012-eu-central-1/*",
    ])
    error_message = "The gateway admits: ${module.network[0].gateway_policy}"
  }
}

run "network_without_a_vpc_is_refused" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, network = {} } }
  }
  expect_failures = [var.vpc]
}

run "network_that_is_null_is_left_out" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, network = null } }
  }
  assert {
    condition     = length(module.network) == 0
    error_message = "Null stands for a function outside of the VPC."
  }
}

run "network_of_a_model_with_a_file_system_is_refused" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, network = {}, file_system = {} } }
    vpc    = { vpc_id = "vpc-1", subnets = { a = "subnet-1" } }
  }
  expect_failures = [var.models]
}

run "unknown_key_is_refused" {
  command = plan
  variables {
    kms = { logs = "arn:aws:kms:eu-central-1:123456789012:key/1" }
  }
  expect_failures = [var.kms]
}

run "unknown_control_role_is_refused" {
  command = plan
  variables {
    control_roles = { index = { arn = "arn:aws:iam::123456789012:role/index" } }
  }
  expect_failures = [var.control_roles]
}

run "given_roles_of_the_releaser_the_stager_and_the_catalog_are_used" {
  variables {
    models = { embed = { aliases = { prod = {} }, file_system = {}, role = { arn = "arn:aws:iam::123456789012:role/embed" } } }
    vpc    = { vpc_id = "vpc-1", subnets = { a = "subnet-1" } }
    control_roles = {
      releaser = { arn = "arn:aws:iam::123456789012:role/releaser" }
      stager   = { arn = "arn:aws:iam::123456789012:role/stager" }
      catalog  = { arn = "arn:aws:iam::123456789012:role/catalog" }
    }
  }

  assert {
    condition = { for name, arn in output.role_arns : name => split("/", arn)[1] } == {
      acme-embed    = "embed"
      acme_releaser = "releaser"
      acme_stager   = "stager"
      acme_index    = "catalog"
    }
    error_message = "Roles: ${jsonencode(output.role_arns)}"
  }
  assert {
    condition     = jsondecode(output.role_policies["acme_stager"][1]).Statement[0].Sid == "Report"
    error_message = "Policies: ${jsonencode(output.role_policies["acme_stager"])}"
  }
}

run "detailed_metrics_of_an_http_api_that_are_no_truth_is_refused" {
  command = plan
  variables {
    api = { detailed_metrics = "yes" }
  }
  expect_failures = [var.api]
}

run "access_log_that_is_no_truth_is_refused" {
  command = plan
  variables {
    rest_api = { access_log = "x" }
  }
  expect_failures = [var.rest_api]
}

run "usage_plan_that_is_null_is_refused" {
  command = plan
  variables {
    rest_api = { usage_plans = { gold = null } }
  }
  expect_failures = [var.rest_api]
}

run "detailed_metrics_that_are_no_truth_is_refused" {
  command = plan
  variables {
    rest_api = { detailed_metrics = "x" }
  }
  expect_failures = [var.rest_api]
}

run "control_roles_that_are_no_object_is_refused" {
  command = plan
  variables {
    control_roles = "arn:aws:iam::123456789012:role/x"
  }
  expect_failures = [var.control_roles]
}

run "tag_that_aws_keeps_for_itself_is_refused" {
  command = plan
  variables {
    tags = { "aws:x" = "y" }
  }
  expect_failures = [var.tags]
}

run "kms_that_is_no_object_is_refused" {
  command = plan
  variables {
    kms = "x"
  }
  expect_failures = [var.kms]
}

run "kms_key_that_is_an_alias_is_refused" {
  command = plan
  variables {
    kms = { logs_key_arn = "alias/x" }
  }
  expect_failures = [var.kms]
}

run "events_of_a_model_belong_to_its_function" {
  variables {
    models = {
      fraud = {
        aliases         = { prod = {} }
        timeout_seconds = 120
        events = {
          prepared = { source = { bucket = "acme-prepared", prefix = "ready/" }, output = { prefix = "scored/" } }
          incoming = { source = { prefix = "incoming/" }, output = { bucket = "acme-prepared", prefix = "ready/" } }
        }
      }
      plain = { aliases = { prod = {} } }
    }
  }

  assert {
    condition     = output.event_bucket == "acme-io-123456789012-eu-central-1"
    error_message = "Events without a bucket share the one that the module creates."
  }
  assert {
    condition     = output.event_queues == { "fraud:incoming" = "acme-fraud_incoming", "fraud:prepared" = "acme-fraud_prepared" }
    error_message = "Queues: ${jsonencode(output.event_queues)}"
  }
  assert {
    condition = [
      for statement in jsondecode(output.role_policies["acme-fraud"][0]).Statement : statement.Resource if statement.Sid == "WriteEventOutputs"
    ] == [["arn:aws:s3:::acme-prepared/ready/*", "arn:aws:s3:::acme-io-123456789012-eu-central-1/scored/*"]]
    error_message = "The role may write the outputs: ${output.role_policies["acme-fraud"][0]}"
  }
  assert {
    condition     = length([for statement in jsondecode(output.role_policies["acme-plain"][0]).Statement : statement if can(regex("Event", statement.Sid))]) == 0
    error_message = "A model without an event has no right for one."
  }
}

run "stack_without_an_event_has_no_bucket_and_no_queue_for_it" {
  command = plan

  assert {
    condition     = length(module.event_bucket) == 0 && length(module.events) == 0 && output.redrive_policy == null
    error_message = "Nothing is created for events."
  }
}

run "stack_without_jobs_has_no_bucket_for_them" {
  command = plan

  assert {
    condition     = length(module.jobs) == 0 && output.job_buckets == {}
    error_message = "Nothing is created for jobs."
  }
}

run "jobs_that_are_no_object_are_refused" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, jobs = true } }
  }
  expect_failures = [var.models]
}

run "event_without_an_output_is_refused" {
  command = plan
  variables {
    models = { fraud = { aliases = { prod = {} }, events = { incoming = { source = { prefix = "in/" } } } } }
  }
  expect_failures = [var.models]
}

run "event_bucket_that_is_no_object_is_refused" {
  command = plan
  variables {
    event_bucket = "acme-io"
  }
  expect_failures = [var.event_bucket]
}

run "misspelt_attribute_of_the_event_bucket_is_refused" {
  command = plan
  variables {
    event_bucket = { expiry_days = 3 }
  }
  expect_failures = [var.event_bucket]
}

run "repository_of_images_that_is_no_object_is_refused" {
  command = plan
  variables {
    image_repository = true
  }
  expect_failures = [var.image_repository]
}

run "misspelt_attribute_of_the_repository_of_images_is_refused" {
  command = plan
  variables {
    image_repository = { keep = 10 }
  }
  expect_failures = [var.image_repository]
}

run "endpoints_without_an_object_are_refused" {
  command = plan
  variables {
    models = { embed = { aliases = { prod = {} }, sagemaker = "ml.m5.xlarge" } }
  }
  expect_failures = [var.models]
}

run "models_score_what_runs_name" {
  command = plan
  variables {
    api = null
    models = {
      fraud = { aliases = { prod = {} }, timeout_seconds = 900, reserved_concurrency = 20 }
      plain = { aliases = { prod = {} } }
    }
    batch = {
      sources         = ["s3://acme-lake/2026/"]
      outputs         = ["s3://acme-scores/"]
      models          = ["fraud"]
      max_concurrency = 18
    }
  }

  assert {
    condition     = output.batch_state_machine_arn == "arn:aws:states:eu-central-1:123456789012:stateMachine:acme_batch"
    error_message = "State machine: ${output.batch_state_machine_arn}"
  }
  assert {
    condition     = contains([for statement in jsondecode(output.role_policies["acme-fraud"][0]).Statement : statement.Sid], "ReadBatchSources")
    error_message = "Rights: ${output.role_policies["acme-fraud"][0]}"
  }
  assert {
    condition     = length([for statement in jsondecode(output.role_policies["acme-plain"][0]).Statement : statement if can(regex("Batch", statement.Sid))]) == 0
    error_message = "A model that runs do not use has no right for them."
  }
  assert {
    condition     = can(output.role_policies["acme_planner"]) && can(output.role_policies["acme_batch"]) && can(output.log_group_names["acme_batch"])
    error_message = "Roles and logs of the planner and the state machine are handed out."
  }
}

run "stack_without_runs_has_no_state_machine" {
  command = plan

  assert {
    condition     = length(module.batch) == 0 && output.batch_policy == null && output.batch_state_machine_arn == null
    error_message = "Nothing is created for runs."
  }
}

run "run_leaves_a_tenth_of_the_reserved_concurrency" {
  command = plan
  variables {
    api    = null
    models = { fraud = { aliases = { prod = {} }, timeout_seconds = 900, reserved_concurrency = 20 } }
    batch  = { sources = ["s3://acme-lake"], outputs = ["s3://acme-scores"], max_concurrency = 19 }
  }
  expect_failures = [check.batch_concurrency]
}

run "part_takes_longer_than_a_request" {
  command = plan
  variables {
    api    = null
    models = { fraud = { aliases = { prod = {} } } }
    batch  = { sources = ["s3://acme-lake"], outputs = ["s3://acme-scores"] }
  }
  expect_failures = [check.batch_timeout]
}

run "batch_that_is_no_object_is_refused" {
  command = plan
  variables {
    batch = "s3://acme-lake"
  }
  expect_failures = [var.batch]
}

run "misspelt_attribute_of_batch_is_refused" {
  command = plan
  variables {
    batch = { source = ["s3://acme-lake"], outputs = ["s3://acme-scores"] }
  }
  expect_failures = [var.batch]
}

run "run_of_an_unknown_model_is_refused" {
  command = plan
  variables {
    batch = { sources = ["s3://acme-lake"], outputs = ["s3://acme-scores"], models = ["acme-fraud"] }
  }
  expect_failures = [var.batch]
}
