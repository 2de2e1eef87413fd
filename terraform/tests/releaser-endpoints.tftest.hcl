# The endpoints that the releaser makes: what the record says of them, what the releaser may do, and what makes it run.

mock_provider "aws" {
  source = "./tests/mocks"
}

override_resource {
  target = terraform_data.deployment
  values = { id = "0a1b2c3d-0000-0000-0000-000000000000" }
}

variables {
  name = "acme_releaser"
  registry = {
    bucket       = "acme-models"
    uri          = "s3://acme-models/ml"
    bucket_arn   = "arn:aws:s3:::acme-models"
    root         = "ml/"
    kms_key_arns = []
  }
  package = { bucket = "acme-models", key = "packages/1.zip", source_code_hash = "aGFzaA==" }
  options = { tags = { team = "ml" } }

  endpoint_prefix = "acme-"
  functions = {
    fraud = {
      name            = "acme-fraud"
      aliases         = ["prod"]
      python          = "3.13"
      release_trigger = "1"
      sagemaker = {
        role_arn      = "arn:aws:iam::123456789012:role/acme-fraud_endpoint-1"
        image_uri     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f"
        instance_type = "ml.m5.xlarge"
        instances     = { min = 1, max = 4, target = 600 }
        keep_minutes  = 30
        environment   = { SHEARLING_REGISTRY = "s3://acme-models/ml" }
      }
    }
  }
}

run "record_of_the_deployment_says_what_an_endpoint_is_made_of" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition = jsondecode(aws_s3_object.deployment["fraud"].content).sagemaker == {
      endpoint_prefix = "acme-fraud"
      role_arn        = "arn:aws:iam::123456789012:role/acme-fraud_endpoint-1"
      image_uri       = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/models@sha256:0f"
      instance_type   = "ml.m5.xlarge"
      instances       = { min = 1, max = 4, target = 600 }
      keep_minutes    = 30
      environment     = { SHEARLING_REGISTRY = "s3://acme-models/ml" }
      tags            = { team = "ml" }
    }
    error_message = "Record: ${aws_s3_object.deployment["fraud"].content}"
  }
  assert {
    condition     = sort(keys(aws_lambda_invocation.release["fraud"].triggers)) == tolist(["aliases", "configuration", "endpoints"])
    error_message = "Another image or instance type releases the aliases again."
  }
}

run "releaser_makes_endpoints_of_its_stack_and_no_others" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition = [for s in jsondecode(module.lambda.policies[1]).Statement : [s.Sid, s.Action, s.Resource]] == [
      [
        "MakeEndpoints",
        [
          "sagemaker:AddTags", "sagemaker:DeleteTags",
          "sagemaker:CreateModel", "sagemaker:CreateEndpointConfig", "sagemaker:CreateEndpoint",
          "sagemaker:DescribeModel", "sagemaker:DescribeEndpointConfig", "sagemaker:DescribeEndpoint",
          "sagemaker:DeleteModel", "sagemaker:DeleteEndpointConfig", "sagemaker:DeleteEndpoint",
        ],
        [for thing in ["model", "endpoint-config", "endpoint"] : "arn:aws:sagemaker:eu-central-1:123456789012:${thing}/acme-*-????????"],
      ],
      ["FindEndpoints", "sagemaker:ListModels", "*"],
      ["ReadTags", "sagemaker:ListTags", "arn:aws:sagemaker:eu-central-1:123456789012:model/*-????????"],
      [
        "MakeLogGroups", ["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"],
        [for end in ["", ":*"] : "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/sagemaker/Endpoints/acme-*-????????${end}"],
      ],
      ["PassRoleToContainers", "iam:PassRole", ["arn:aws:iam::123456789012:role/acme-fraud_endpoint-1"]],
      [
        "ScaleEndpoints",
        ["application-autoscaling:DeregisterScalableTarget", "application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget"],
        "arn:aws:application-autoscaling:eu-central-1:123456789012:scalable-target/*",
      ],
      ["DeleteAlarms", "cloudwatch:DeleteAlarms", "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:acme-*-????????-start"],
      [
        "ProveScaling",
        ["cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm", "sagemaker:UpdateEndpointWeightsAndCapacities"],
        "*",
      ],
      [
        "CreateScalingRole", "iam:CreateServiceLinkedRole",
        "arn:aws:iam::123456789012:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
      ],
    ]
    error_message = "Policy: ${module.lambda.policies[1]}"
  }
  assert {
    condition = { for s in jsondecode(module.lambda.policies[1]).Statement : s.Sid => s.Condition if can(s.Condition) } == {
      PassRoleToContainers = { StringEquals = { "iam:PassedToService" = "sagemaker.amazonaws.com" } }
      ScaleEndpoints       = { StringEquals = { "application-autoscaling:service-namespace" = "sagemaker" } }
      CreateScalingRole    = { StringEquals = { "iam:AWSServiceName" = "sagemaker.application-autoscaling.amazonaws.com" } }
    }
    error_message = "Policy: ${module.lambda.policies[1]}"
  }
}

run "key_of_the_volumes_is_granted_through_sagemaker_alone" {
  module {
    source = "./modules/releaser"
  }
  variables {
    functions = { fraud = merge(var.functions.fraud, { sagemaker = merge(var.functions.fraud.sagemaker, { kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1" }) }) }
  }

  assert {
    condition = [for s in jsondecode(module.lambda.policies[1]).Statement : [s.Action, s.Resource, s.Condition] if s.Sid == "GrantVolumes"] == [[
      "kms:CreateGrant", ["arn:aws:kms:eu-central-1:123456789012:key/1"],
      { StringLike = { "kms:ViaService" = "sagemaker.*.amazonaws.com" }, Bool = { "kms:GrantIsForAWSResource" = "true" } },
    ]]
    error_message = "Policy: ${module.lambda.policies[1]}"
  }
}

run "endpoint_that_is_in_service_or_failed_resumes_the_release" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition = jsondecode(aws_cloudwatch_event_rule.endpoint_changed[0].event_pattern) == {
      source        = ["aws.sagemaker"]
      "detail-type" = ["SageMaker Endpoint State Change"]
      detail        = { EndpointName = [{ prefix = "acme-" }], EndpointStatus = ["IN_SERVICE", "FAILED", "OUT_OF_SERVICE"] }
    }
    error_message = "Pattern: ${aws_cloudwatch_event_rule.endpoint_changed[0].event_pattern}"
  }
  assert {
    condition     = startswith(aws_cloudwatch_event_rule.endpoint_changed[0].name, "acme_releaser-")
    error_message = "The rule has the name that the permission of the releaser and the policy of its queue admit."
  }
}

run "endpoints_are_deleted_when_the_last_model_with_one_is_destroyed" {
  module {
    source = "./modules/releaser"
  }

  assert {
    condition     = jsondecode(aws_lambda_invocation.endpoint_guard[0].input) == { shearling = "guard_endpoints" } && aws_lambda_invocation.endpoint_guard[0].lifecycle_scope == "CRUD"
    error_message = "Guard: ${aws_lambda_invocation.endpoint_guard[0].input}"
  }
}

run "alarms_of_others_are_out_of_reach_without_scaling" {
  module {
    source = "./modules/releaser"
  }
  variables {
    functions = { fraud = merge(var.functions.fraud, { sagemaker = merge(var.functions.fraud.sagemaker, { instances = { min = 2, max = 2, target = 600 } }) }) }
  }

  assert {
    condition     = [for s in jsondecode(module.lambda.policies[1]).Statement : s.Sid] == ["MakeEndpoints", "FindEndpoints", "ReadTags", "MakeLogGroups", "PassRoleToContainers", "ScaleEndpoints", "DeleteAlarms"]
    error_message = "Policy: ${module.lambda.policies[1]}"
  }
}

run "releaser_without_endpoints_has_nothing_of_them" {
  module {
    source = "./modules/releaser"
  }
  variables {
    functions = { fraud = { name = "acme-fraud", aliases = ["prod"], python = "3.13", release_trigger = "1" } }
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.endpoint_changed) == 0 && length(aws_lambda_invocation.endpoint_guard) == 0 && length(module.lambda.policies) == 1
    error_message = "Policies: ${jsonencode(module.lambda.policies)}"
  }
  assert {
    condition     = keys(jsondecode(aws_s3_object.deployment["fraud"].content)) == ["account", "aliases", "api_url", "function", "model", "region", "releaser", "runtime"]
    error_message = "Record: ${aws_s3_object.deployment["fraud"].content}"
  }
}
