# What a function needs that scores objects: to read the sources, to write the outputs, and to list both.

data "aws_partition" "current" {}

locals {
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::"
  via_s3     = { StringLike = { "kms:ViaService" = "s3.*.${data.aws_partition.current.dns_suffix}" } }

  listed = {
    for folder in concat([for each in var.sources : { bucket = each.bucket, prefix = each.prefix }], var.outputs) :
    folder.bucket => folder.prefix...
  }

  statements = concat(
    [
      {
        Sid      = "Read${var.name}Sources"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = [for source in var.sources : "${local.bucket_arn}${source.bucket}/${source.prefix}*${source.suffix}"]
      },
      {
        # It reads the manifest of an earlier attempt, and deletes what that attempt said of an object that is scored now.
        Sid      = "Write${var.name}Outputs"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = [for output in var.outputs : "${local.bucket_arn}${output.bucket}/${output.prefix}*"]
      },
    ],
    [
      # With it, S3 answers 404 for a missing object. Without it, S3 answers 403, which looks like a missing permission.
      for number, bucket in keys(local.listed) : {
        Sid       = "List${var.name}Bucket${number}"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = "${local.bucket_arn}${bucket}"
        Condition = { StringLike = { "s3:prefix" = [for prefix in distinct(local.listed[bucket]) : "${prefix}*"] } }
      }
    ],
    # Through S3 alone: with the key itself, the function could decrypt what the key protects elsewhere.
    [
      for arns in [distinct(var.source_key_arns)] : {
        Sid       = "Decrypt${var.name}Sources"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = arns
        Condition = local.via_s3
      } if length(arns) > 0
    ],
    [
      for arns in [distinct(var.output_key_arns)] : {
        Sid       = "Encrypt${var.name}Outputs"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = arns
        Condition = local.via_s3
      } if length(arns) > 0
    ],
  )
}
