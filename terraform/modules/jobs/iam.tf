# What the role of a function needs for its jobs.

locals {
  bucket_arns = { for model, each in module.bucket : model => "arn:${local.partition}:s3:::${each.bucket}" }

  statements = {
    for model, bucket_arn in local.bucket_arns : model => concat(
      [
        {
          Sid      = "ReadAndWriteJobs"
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
          Resource = [for folder in ["jobs", "completed", "secret", "calls"] : "${bucket_arn}/${folder}/*"]
        },
        {
          # With it, S3 answers 404 for a missing object. Without it, S3 answers 403, which looks like a missing permission.
          Sid      = "ListJobs"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = bucket_arn
        },
        {
          # Lambda itself receives and deletes the messages with the role.
          Sid      = "ReceiveJobs"
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
          Resource = [for key, each in local.aliases : local.queue_arns[key] if each.model == model]
        },
      ],
      [
        for arn in compact([var.queue_key_arn]) : {
          Sid       = "DecryptJobMessages"
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = arn
          Condition = { StringLike = { "kms:ViaService" = "sqs.*.${data.aws_partition.current.dns_suffix}" } }
        }
      ],
    )
  }
}
