# The bucket that holds the registry. The SDK and the releaser rely on its layout:
#
#   blobs/sha256/<hex>                       files of bundles, by digest
#   models/<model>/versions|digests|aliases  records, written once
#   releases/<function>/<alias>/<m>.json     records of the releaser, written once
#   deployments/<function>.json              which function serves a model, written by Terraform
#   packages/<name>/<hex>.zip                function packages, written by Terraform

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  # `bucket` instead of `id`, because it is known at plan: the plan then shows URIs and policies.
  bucket     = var.bucket == null ? one(aws_s3_bucket.registry[*].bucket) : var.bucket
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${local.bucket}"
  root       = var.prefix == "" ? "" : "${var.prefix}/"
  objects    = "${local.bucket_arn}/${local.root}"
  uri        = "s3://${join("/", compact([local.bucket, var.prefix]))}"

  # An object stays encrypted with the key that it was written with.
  keys = compact(concat([var.kms_key_arn], var.previous_kms_key_arns))
}

resource "aws_s3_bucket" "registry" {
  # checkov:skip=CKV_AWS_144: A second region is the caller's choice, and doubles the cost. The bucket keeps every version.

  count = var.bucket == null ? 1 : 0 # `bucket` must be known at plan: write `aws_s3_bucket.NAME.bucket` instead of `.id`

  bucket        = "${var.name}-${data.aws_caller_identity.current.account_id}-${data.aws_service.s3.region}"
  force_destroy = var.force_destroy
  tags          = var.tags

  lifecycle {
    # Account and region are unknown while a `depends_on` of the caller has changes: only another name replaces the bucket.
    ignore_changes       = [bucket]
    replace_triggered_by = [terraform_data.name]
  }
}

resource "terraform_data" "name" {
  input = var.name
}

resource "aws_s3_bucket_versioning" "registry" {
  count = length(aws_s3_bucket.registry)

  bucket = aws_s3_bucket.registry[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "registry" {
  count = length(aws_s3_bucket.registry)

  bucket = aws_s3_bucket.registry[0].id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

# An interrupted push leaves parts of uploads, which S3 bills and does not list.
resource "aws_s3_bucket_lifecycle_configuration" "registry" {
  count = length(aws_s3_bucket.registry)

  bucket = aws_s3_bucket.registry[0].id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # S3 accepts lifecycle rules reliably only after versioning is set.
  depends_on = [aws_s3_bucket_versioning.registry]
}

resource "aws_s3_bucket_logging" "registry" {
  count = var.access_log == null ? 0 : length(aws_s3_bucket.registry)

  bucket        = aws_s3_bucket.registry[0].id
  target_bucket = var.access_log.bucket
  target_prefix = "${local.bucket}/"
}

# Sends an event for each new object to EventBridge, which invokes the releaser for a moved alias. A bucket has a single
# notification document, so this module leaves an existing bucket's as it is: enable EventBridge where you define it.
resource "aws_s3_bucket_notification" "registry" {
  count = length(aws_s3_bucket.registry)

  bucket      = aws_s3_bucket.registry[0].id
  eventbridge = true
}

# The next three resources change the access to one bucket. S3 refuses such changes at the same time (OperationAborted):
# `depends_on` makes them follow one another.
resource "aws_s3_bucket_ownership_controls" "registry" {
  count = length(aws_s3_bucket.registry)

  bucket = aws_s3_bucket.registry[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "registry" {
  count = length(aws_s3_bucket.registry)

  bucket = aws_s3_bucket.registry[0].id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true

  depends_on = [aws_s3_bucket_ownership_controls.registry]
}

resource "aws_s3_bucket_policy" "registry" {
  count = length(aws_s3_bucket.registry)

  bucket = aws_s3_bucket.registry[0].id
  policy = local.bucket_policy_json

  depends_on = [aws_s3_bucket_public_access_block.registry]
}

# Named by the digest of the content: a new build is a new object, and two paths with the same bytes are one object. Below
# this stack's name, because stacks that share a bucket may upload the same package and delete their own.
resource "aws_s3_object" "package" {
  for_each = { for path in var.packages : filesha256(path) => path... }

  bucket       = coalesce(var.packages_bucket, local.bucket)
  key          = "${local.root}packages/${var.name}/${each.key}.zip"
  source       = each.value[0]
  content_type = "application/zip"

  # An S3 object has at most ten tags, and a provider may have more default tags.
  override_provider {
    default_tags {
      tags = {}
    }
  }

  depends_on = [
    aws_s3_bucket_versioning.registry,
    aws_s3_bucket_server_side_encryption_configuration.registry,
  ]
}
