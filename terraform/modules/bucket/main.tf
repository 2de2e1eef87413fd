# A private, encrypted bucket for objects of the caller's, which sends an event for each new object to EventBridge.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  bucket_arn = "arn:${data.aws_partition.current.partition}:s3:::${aws_s3_bucket.objects.bucket}"
}

resource "aws_s3_bucket" "objects" {
  # checkov:skip=CKV_AWS_144: A second region is the caller's choice, and doubles the cost.
  # checkov:skip=CKV_AWS_18: The objects are inputs and outputs of models. Who wrote them is in the events.
  # checkov:skip=CKV_AWS_21: A deleted or expired object is gone, as whoever has personal data in it expects.

  bucket        = "${var.name}-${var.purpose}-${data.aws_caller_identity.current.account_id}-${data.aws_service.s3.region}"
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

resource "aws_s3_bucket_server_side_encryption_configuration" "objects" {
  bucket = aws_s3_bucket.objects.id

  rule {
    bucket_key_enabled = var.kms_key_arn != null

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "objects" {
  # checkov:skip=CKV_AWS_300: The first rule has the period; Checkov sees only the dynamic ones.
  bucket = aws_s3_bucket.objects.id

  # A function that was ended while it wrote leaves parts of an upload, which S3 bills and does not list.
  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  dynamic "rule" {
    for_each = var.expire_days == null ? [] : var.expire_prefixes

    content {
      id     = trimsuffix("expire-${rule.value}", rule.value == "" ? "-" : "/")
      status = "Enabled"

      filter {
        prefix = rule.value
      }

      expiration {
        days = var.expire_days
      }
    }
  }
}

resource "aws_s3_bucket_notification" "objects" {
  bucket      = aws_s3_bucket.objects.id
  eventbridge = true
}

# The next three resources change the access to one bucket. S3 refuses such changes at the same time (OperationAborted):
# `depends_on` makes them follow one another.
resource "aws_s3_bucket_ownership_controls" "objects" {
  bucket = aws_s3_bucket.objects.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "objects" {
  bucket = aws_s3_bucket.objects.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true

  depends_on = [aws_s3_bucket_ownership_controls.objects]
}

resource "aws_s3_bucket_policy" "objects" {
  bucket = aws_s3_bucket.objects.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.objects]
}
