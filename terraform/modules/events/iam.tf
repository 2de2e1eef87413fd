# What the role of a function needs for its events, and what a user needs to see them and to repeat what failed.

locals {
  models = toset([for event in values(var.events) : event.model])

  events_of = { for model in local.models : model => { for key, event in var.events : key => event if event.model == model } }

  # The prefixes of each bucket that a model reads and writes.
  folders = {
    for model, events in local.events_of : model => {
      read = distinct([
        for event in values(events) : { bucket = event.source.bucket, prefix = event.source.prefix, suffix = event.source.suffix }
      ])
      write = distinct([for event in values(events) : { bucket = event.output.bucket, prefix = event.output.prefix }])
    }
  }

  listed = {
    for model, folders in local.folders : model => {
      for folder in concat([for each in folders.read : { bucket = each.bucket, prefix = each.prefix }], folders.write) :
      folder.bucket => folder.prefix...
    }
  }

  keys = {
    for model, events in local.events_of : model => {
      source = distinct(compact([for event in values(events) : event.source.kms_key_arn]))
      output = distinct(compact([for event in values(events) : event.output.kms_key_arn]))
    }
  }

  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::"
  dns_suffix = data.aws_partition.current.dns_suffix

  statements = {
    for model in local.models : model => concat(
      [
        {
          Sid      = "ReadEventSources"
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = [for folder in local.folders[model].read : "${local.bucket_arn}${folder.bucket}/${folder.prefix}*${folder.suffix}"]
        },
        {
          # It reads the manifest of an earlier attempt, and deletes what that attempt said of an object that is scored now.
          Sid      = "WriteEventOutputs"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
          Resource = [for folder in local.folders[model].write : "${local.bucket_arn}${folder.bucket}/${folder.prefix}*"]
        },
        {
          # Lambda itself receives and deletes the messages with the role.
          Sid      = "ReceiveEvents"
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
          Resource = [for key in keys(local.events_of[model]) : local.queue_arns[key]]
        },
      ],
      [
        # With it, S3 answers 404 for a missing object. Without it, S3 answers 403, which looks like a missing permission.
        for number, bucket in keys(local.listed[model]) : {
          Sid       = "ListEventBucket${number}"
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = "${local.bucket_arn}${bucket}"
          Condition = { StringLike = { "s3:prefix" = [for prefix in distinct(local.listed[model][bucket]) : "${prefix}*"] } }
        }
      ],
      # Through S3 alone: with the key itself, the function could decrypt what the key protects elsewhere.
      [
        for arns in [local.keys[model].source] : {
          Sid       = "DecryptEventSources"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = arns
          Condition = { StringLike = { "kms:ViaService" = "s3.*.${local.dns_suffix}" } }
        } if length(arns) > 0
      ],
      [
        for arns in [local.keys[model].output] : {
          Sid       = "EncryptEventOutputs"
          Effect    = "Allow"
          Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource  = arns
          Condition = { StringLike = { "kms:ViaService" = "s3.*.${local.dns_suffix}" } }
        } if length(arns) > 0
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
