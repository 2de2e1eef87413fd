# The bucket that holds the registry. Its layout is a contract with the SDK and the releaser:
#
#   blobs/sha256/<hex>                       bytes, by digest
#   models/<model>/versions|digests|aliases  records, written once
#   releases/<function>/<alias>/<m>.json     records of the releaser, written once
#   deployments/<function>.json              who serves a model, written by Terraform
#   packages/<name>/<hex>.zip                function packages, written by Terraform

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# For the region alone: no attribute of `aws_region` is in both 5.x and 6.x without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  # `bucket` and not `id`: known at plan, so that URIs and policies can be read in the plan.
  bucket     = var.bucket == null ? one(aws_s3_bucket.registry[*].bucket) : var.bucket
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${local.bucket}"
  root       = var.prefix == "" ? "" : "${var.prefix}/"
  objects    = "${local.bucket_arn}/${local.root}"

  created = var.bucket == null ? 1 : 0

  # Objects stay under the key that they were written with.
  keys = compact(concat([var.kms_key_arn], var.former_kms_key_arns))
}

resource "aws_s3_bucket" "registry" {
  count = local.created

  bucket        = "${var.name}-${data.aws_caller_identity.current.account_id}-${data.aws_service.s3.region}"
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_versioning" "registry" {
  count = local.created

  bucket = aws_s3_bucket.registry[0].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "registry" {
  count = local.created

  bucket = aws_s3_bucket.registry[0].id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

# A push that dies half-way leaves parts that nobody sees and everybody pays for.
resource "aws_s3_bucket_lifecycle_configuration" "registry" {
  count = local.created

  bucket = aws_s3_bucket.registry[0].id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  # S3 wants to know of versions before it takes rules.
  depends_on = [aws_s3_bucket_versioning.registry]
}

# Tells EventBridge of new objects, from where the releaser hears of a moved alias. The notification configuration of a
# bucket is one document, so a bucket that exists is left as it is: there, switch it on where the bucket is defined.
resource "aws_s3_bucket_notification" "registry" {
  count = local.created

  bucket      = aws_s3_bucket.registry[0].id
  eventbridge = true
}

# The next three change one bucket's access; at once, S3 refuses all but one (OperationAborted): hence the chain.
resource "aws_s3_bucket_ownership_controls" "registry" {
  count = local.created

  bucket = aws_s3_bucket.registry[0].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "registry" {
  count = local.created

  bucket = aws_s3_bucket.registry[0].id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true

  depends_on = [aws_s3_bucket_ownership_controls.registry]
}

resource "aws_s3_bucket_policy" "registry" {
  count = local.created

  bucket = aws_s3_bucket.registry[0].id
  policy = local.bucket_policy_json

  depends_on = [aws_s3_bucket_public_access_block.registry]
}

# Uploaded under the digest of the content: a new build is a new object, and two paths with the same bytes are one. Below
# our own name: who shares the bucket has the same packages, and takes its own away.
resource "aws_s3_object" "package" {
  for_each = { for path in var.packages : filesha256(path) => path... }

  bucket       = local.bucket
  key          = "${local.root}packages/${var.name}/${each.key}.zip"
  source       = each.value[0]
  content_type = "application/zip"

  # An object takes ten tags, and default tags of a provider may be more.
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
