# What the role of a function needs for its events, and what a user needs to see them and to repeat what failed.

locals {
  models = toset([for event in values(var.events) : event.model])

  events_of = { for model in local.models : model => { for key, event in var.events : key => event if event.model == model } }

  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::"
  dns_suffix = data.aws_partition.current.dns_suffix

  statements = {
    for model in local.models : model => concat(
      module.objects[model].statements,
      [
        {
          # Lambda itself receives and deletes the messages with the role.
          Sid      = "ReceiveEvents"
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
          Resource = [for key in keys(local.events_of[model]) : local.queue_arns[key]]
        },
      ],
      [
        for arn in compact([var.queue_key_arn]) : {
          Sid       = "DecryptEvents"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = arn
          Condition = { StringLike = { "kms:ViaService" = "sqs.*.${local.dns_suffix}" } }
        }
      ],
    )
  }

  redrive_policy_json = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "SeeEvents"
          Effect   = "Allow"
          Action   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"]
          Resource = concat(values(local.queue_arns), values(local.failures_arns))
        },
        {
          # A bucket that sends nothing to EventBridge is the most likely reason for an event that nothing arrives for.
          Sid      = "SeeRules"
          Effect   = "Allow"
          Action   = "events:DescribeRule"
          Resource = [for name in values(local.names) : "${local.rule_arn}/${name}"]
        },
        {
          Sid      = "SeeNotifications"
          Effect   = "Allow"
          Action   = "s3:GetBucketNotification"
          Resource = distinct([for event in values(var.events) : "${local.bucket_arn}${event.source.bucket}"])
        },
        {
          Sid      = "TakeFailures"
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
          Resource = values(local.failures_arns)
        },
        {
          Sid      = "RepeatEvents"
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = values(local.queue_arns)
        },
        {
          Sid      = "ReadDeployments"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = "${local.bucket_arn}${var.registry.bucket}/${var.registry.root}deployments/*"
        },
        {
          Sid       = "ListDeployments"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = "${local.bucket_arn}${var.registry.bucket}"
          Condition = { StringLike = { "s3:prefix" = "${var.registry.root}deployments/*" } }
        },
      ],
      [
        for arns in [var.registry.kms_key_arns] : {
          Sid       = "DecryptDeployments"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = arns
          Condition = { StringLike = { "kms:ViaService" = "s3.*.${local.dns_suffix}" } }
        } if length(arns) > 0
      ],
      [
        for arn in compact([var.queue_key_arn]) : {
          Sid       = "EncryptEvents"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource  = arn
          Condition = { StringLike = { "kms:ViaService" = "sqs.*.${local.dns_suffix}" } }
        }
      ],
    )
  })
}

module "objects" {
  source   = "../object-access"
  for_each = local.events_of

  name            = "Event"
  sources         = distinct([for event in values(each.value) : { bucket = event.source.bucket, prefix = event.source.prefix, suffix = event.source.suffix }])
  outputs         = distinct([for event in values(each.value) : { bucket = event.output.bucket, prefix = event.output.prefix }])
  source_key_arns = compact([for event in values(each.value) : event.source.kms_key_arn])
  output_key_arns = compact([for event in values(each.value) : event.output.kms_key_arn])
}
