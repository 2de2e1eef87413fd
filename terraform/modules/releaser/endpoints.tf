# The SageMaker endpoints that the releaser makes for models that have them: what the record of the deployment says of them,
# what the releaser may do, the event that resumes it, and what deletes them.

locals {
  endpoint_functions = { for model, function in var.functions : model => function if function.sagemaker != null }

  # Without what is not set: the reader of the records knows no null.
  endpoint_records = {
    for model, function in local.endpoint_functions : model => merge(
      { for name, value in function.sagemaker : name => value if value != null },
      { endpoint_prefix = function.name, tags = var.options.tags },
    )
  }

  # All endpoints of the stack. Not those of single functions, because the permissions must outlast a model that is removed.
  endpoint_names = "${lower(coalesce(var.endpoint_prefix, "?"))}*-????????" # SageMaker writes names in lower case in its ARNs
  sagemaker_arn  = "arn:${local.partition}:sagemaker:${local.region}:${local.account_id}"
  is_scaled      = anytrue([for function in values(local.endpoint_functions) : try(function.sagemaker.instances.max > function.sagemaker.instances.min, false)])
  volume_keys    = distinct(compact([for function in values(local.endpoint_functions) : function.sagemaker.kms_key_arn]))

  # A policy of its own: Terraform removes it after the last endpoint.
  endpoint_policies = length(local.endpoint_functions) == 0 ? [] : [concat(
    [
      {
        Sid    = "MakeEndpoints"
        Effect = "Allow"
        Action = concat(["sagemaker:AddTags", "sagemaker:DeleteTags"], flatten([
          for verb in ["Create", "Describe", "Delete"] : [for thing in ["Model", "EndpointConfig", "Endpoint"] : "sagemaker:${verb}${thing}"]
        ]))
        Resource = [for thing in ["model", "endpoint-config", "endpoint"] : "${local.sagemaker_arn}:${thing}/${local.endpoint_names}"]
      },
      {
        # A list has no resource to name. The releaser reads the tags of models with the form of its names.
        Sid      = "FindEndpoints"
        Effect   = "Allow"
        Action   = "sagemaker:ListModels"
        Resource = "*"
      },
      {
        Sid      = "ReadTags"
        Effect   = "Allow"
        Action   = "sagemaker:ListTags"
        Resource = "${local.sagemaker_arn}:model/*-????????"
      },
      {
        # SageMaker would create a log group that keeps its events for ever.
        Sid    = "MakeLogGroups"
        Effect = "Allow"
        Action = ["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:TagResource"]
        Resource = [
          for end in ["", ":*"] :
          "arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:/aws/sagemaker/Endpoints/${coalesce(var.endpoint_prefix, "?")}*-????????${end}"
        ]
      },
      {
        Sid       = "PassRoleToContainers"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = distinct([for function in values(local.endpoint_functions) : function.sagemaker.role_arn])
        Condition = { StringEquals = { "iam:PassedToService" = "sagemaker.amazonaws.com" } }
      },
      {
        # Targets have random IDs.
        Sid    = "ScaleEndpoints"
        Effect = "Allow"
        Action = [
          "application-autoscaling:DeregisterScalableTarget",
          "application-autoscaling:PutScalingPolicy",
          "application-autoscaling:RegisterScalableTarget",
        ]
        Resource  = "arn:${local.partition}:application-autoscaling:${local.region}:${local.account_id}:scalable-target/*"
        Condition = { StringEquals = { "application-autoscaling:service-namespace" = "sagemaker" } }
      },
    ],
    [
      {
        # Of asynchronous endpoints: it starts their first instance.
        Sid      = "DeleteAlarms"
        Effect   = "Allow"
        Action   = "cloudwatch:DeleteAlarms"
        Resource = "arn:${local.partition}:cloudwatch:${local.region}:${local.account_id}:alarm:${coalesce(var.endpoint_prefix, "?")}*-????????-start"
      },
    ],
    [
      for needed in local.is_scaled ? [true] : [] : {
        # Application Auto Scaling lets nobody scale who may not do the same by hand. It asks with requests that name nothing.
        Sid    = "ProveScaling"
        Effect = "Allow"
        Action = [
          "cloudwatch:DeleteAlarms",
          "cloudwatch:DescribeAlarms",
          "cloudwatch:PutMetricAlarm",
          "sagemaker:UpdateEndpointWeightsAndCapacities",
        ]
        Resource = "*"
      }
    ],
    [
      for needed in local.is_scaled ? [true] : [] : {
        # Once an account: the role with which Application Auto Scaling changes the number of instances.
        Sid       = "CreateScalingRole"
        Effect    = "Allow"
        Action    = "iam:CreateServiceLinkedRole"
        Resource  = "arn:${local.partition}:iam::${local.account_id}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
        Condition = { StringEquals = { "iam:AWSServiceName" = "sagemaker.application-autoscaling.amazonaws.com" } }
      }
    ],
    length(local.volume_keys) == 0 ? [] : [
      {
        Sid      = "GrantVolumes"
        Effect   = "Allow"
        Action   = "kms:CreateGrant"
        Resource = local.volume_keys
        Condition = {
          StringLike = { "kms:ViaService" = "sagemaker.*.${data.aws_partition.current.dns_suffix}" }
          Bool       = { "kms:GrantIsForAWSResource" = "true" }
        }
      },
    ],
  )]
}

# An endpoint takes minutes to come into service. The releaser does not wait: this event resumes the release.
resource "aws_cloudwatch_event_rule" "endpoint_changed" {
  count = length(local.endpoint_functions) > 0 ? 1 : 0

  name        = "${var.name}-endpoints_" # no model can have this name
  description = "An endpoint of the stack is in service, or has failed."
  tags        = var.options.tags

  event_pattern = jsonencode({
    source        = ["aws.sagemaker"]
    "detail-type" = ["SageMaker Endpoint State Change"]
    detail = {
      EndpointName   = [{ prefix = var.endpoint_prefix }]
      EndpointStatus = ["IN_SERVICE", "FAILED", "OUT_OF_SERVICE"]
    }
  })
}

resource "aws_cloudwatch_event_target" "endpoint_changed" {
  count = length(aws_cloudwatch_event_rule.endpoint_changed)

  rule = aws_cloudwatch_event_rule.endpoint_changed[0].name
  arn  = module.lambda.function_arn

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 10
  }

  dead_letter_config {
    arn = aws_sqs_queue.failures.arn
  }
}

# Deletes the endpoints when the last model with endpoints is destroyed, or is served by its function again: the releaser waits
# until no alias needs them. One for all functions, because each occupies one of Terraform's operations while it waits.
resource "aws_lambda_invocation" "endpoint_guard" {
  count = length(local.endpoint_functions) > 0 ? 1 : 0

  function_name   = module.lambda.function_name
  input           = jsonencode({ shearling = "guard_endpoints" })
  lifecycle_scope = "CRUD"
}
