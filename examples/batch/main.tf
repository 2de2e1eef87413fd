# A model that scores what lies in a bucket, many files at the same time.

data "aws_caller_identity" "current" {}

module "inference" {
  source = "../../terraform"

  name     = var.name
  packages = var.packages
  python   = var.python

  models = {
    score = {
      memory_mb       = 1769 # one processor
      timeout_seconds = 900  # for a part of a file
      aliases         = { prod = {} }
    }
  }

  batch = {
    sources         = ["s3://${aws_s3_bucket.data.bucket}/in/"]
    outputs         = ["s3://${aws_s3_bucket.data.bucket}/out/"]
    max_concurrency = var.max_concurrency
  }

  # Let `terraform destroy` delete the models. Leave this out if you need them.
  registry = { force_destroy = true }
}

# Yours: runs read and write buckets that exist, in the region of the stack.
resource "aws_s3_bucket" "data" {
  bucket        = "${var.name}-data-${data.aws_caller_identity.current.account_id}"
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "data" {
  bucket = aws_s3_bucket.data.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}
