# What protects a bucket, and what ends objects in it.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name    = "acme"
  purpose = "io"
}

run "bucket_is_private_encrypted_and_sends_events" {
  module {
    source = "./modules/bucket"
  }

  assert {
    condition     = aws_s3_bucket.objects.bucket == "acme-io-123456789012-eu-central-1" && !aws_s3_bucket.objects.force_destroy
    error_message = "Name: ${aws_s3_bucket.objects.bucket}"
  }
  assert {
    condition = jsondecode(aws_s3_bucket_policy.objects.policy).Statement == [{
      Sid       = "RefusePlainHttp"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = ["arn:aws:s3:::acme-io-123456789012-eu-central-1", "arn:aws:s3:::acme-io-123456789012-eu-central-1/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
    error_message = "Policy: ${aws_s3_bucket_policy.objects.policy}"
  }
  assert {
    condition = alltrue([
      for attribute in ["block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"] :
      aws_s3_bucket_public_access_block.objects[attribute]
    ])
    error_message = "The bucket is private."
  }
  assert {
    condition = (
      aws_s3_bucket_notification.objects.eventbridge
      && one(aws_s3_bucket_server_side_encryption_configuration.objects.rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
      && [for rule in aws_s3_bucket_lifecycle_configuration.objects.rule : rule.id] == ["unfinished-uploads"]
    )
    error_message = "Objects are encrypted and announced, and unfinished uploads end."
  }
}

run "objects_expire_where_that_is_asked_for" {
  module {
    source = "./modules/bucket"
  }
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
    expire_days = 30
  }

  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.objects.rule[1].expiration[0].days == 30
    error_message = "Objects are deleted after 30 days."
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.objects.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn
    error_message = "The key encrypts what is written without one."
  }
}

run "objects_do_not_expire_at_once" {
  command = plan
  module {
    source = "./modules/bucket"
  }
  variables {
    expire_days = 0
  }
  expect_failures = [var.expire_days]
}

run "only_objects_below_prefixes_expire_where_these_are_named" {
  module {
    source = "./modules/bucket"
  }

  variables {
    expire_days     = 7
    expire_prefixes = ["jobs/", "completed/"]
  }

  assert {
    condition = {
      for rule in aws_s3_bucket_lifecycle_configuration.objects.rule : rule.id => [rule.filter[0].prefix, rule.expiration[0].days] if startswith(rule.id, "expire")
    } == { expire-jobs = ["jobs/", 7], expire-completed = ["completed/", 7] }
    error_message = "Rules: ${jsonencode(aws_s3_bucket_lifecycle_configuration.objects.rule)}"
  }
}
