# The bucket, its policy, and the rights that are handed out.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name     = "acme"
  packages = ["tests/packages/runtime.zip", "tests/packages/control.zip"]
  aliases  = { fraud = ["prod", "staging"] }

  push_models = ["fraud"]
}

run "bucket_is_private_versioned_encrypted_and_announces_objects" {
  module {
    source = "./modules/registry"
  }

  assert {
    condition     = aws_s3_bucket.registry[0].bucket == "acme-123456789012-eu-central-1" && !aws_s3_bucket.registry[0].force_destroy
    error_message = "The bucket carries name, account and region, and is not deleted with models in it."
  }
  assert {
    condition     = aws_s3_bucket_versioning.registry[0].versioning_configuration[0].status == "Enabled"
    error_message = "The bucket keeps versions."
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.registry[0].block_public_acls,
      aws_s3_bucket_public_access_block.registry[0].block_public_policy,
      aws_s3_bucket_public_access_block.registry[0].ignore_public_acls,
      aws_s3_bucket_public_access_block.registry[0].restrict_public_buckets,
    ])
    error_message = "Nothing in the bucket can be made public."
  }
  assert {
    condition     = aws_s3_bucket_ownership_controls.registry[0].rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs are off."
  }
  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.registry[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "AES256"
    error_message = "Objects are encrypted."
  }
  assert {
    condition     = aws_s3_bucket_notification.registry[0].eventbridge
    error_message = "EventBridge hears of new objects."
  }
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.registry[0].rule[0].abort_incomplete_multipart_upload[0].days_after_initiation == 7
    error_message = "Parts of pushes that died are removed."
  }
  assert {
    condition     = output.uri == "s3://acme-123456789012-eu-central-1"
    error_message = "The URI names the bucket."
  }
}

run "bucket_policy_refuses_plain_http_overwritten_records_and_deletes" {
  module {
    source = "./modules/registry"
  }

  assert {
    condition = [
      for s in jsondecode(aws_s3_bucket_policy.registry[0].policy).Statement : s if startswith(s.Sid, "RefuseTo") || s.Sid == "RefusePlainHttp"
      ] == [
      {
        Sid       = "RefusePlainHttp"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = ["arn:aws:s3:::acme-123456789012-eu-central-1", "arn:aws:s3:::acme-123456789012-eu-central-1/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "RefuseToOverwrite"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource = [
          "arn:aws:s3:::acme-123456789012-eu-central-1/blobs/*",
          "arn:aws:s3:::acme-123456789012-eu-central-1/models/*",
          "arn:aws:s3:::acme-123456789012-eu-central-1/releases/*",
        ]
        Condition = {
          Bool = { "s3:ObjectCreationOperation" = "true" }
          Null = { "s3:if-none-match" = "true" }
        }
      },
      {
        Sid       = "RefuseToDeleteModels"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
        Resource = [
          "arn:aws:s3:::acme-123456789012-eu-central-1/blobs/*",
          "arn:aws:s3:::acme-123456789012-eu-central-1/models/*",
          "arn:aws:s3:::acme-123456789012-eu-central-1/releases/*",
        ]
      },
    ]
    error_message = "Bucket policy: ${aws_s3_bucket_policy.registry[0].policy}"
  }
}

run "bucket_policy_refuses_objects_that_others_cannot_read" {
  module {
    source = "./modules/registry"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/own"
  }

  assert {
    condition = {
      for s in jsondecode(aws_s3_bucket_policy.registry[0].policy).Statement : s.Sid => s.Condition if s.Sid != "RefuseToDeleteModels"
      } == {
      RefusePlainHttp    = { Bool = { "aws:SecureTransport" = "false" } }
      RefuseToOverwrite  = { Bool = { "s3:ObjectCreationOperation" = "true" }, Null = { "s3:if-none-match" = "true" } }
      RefuseArchives     = { StringEquals = { "s3:x-amz-storage-class" = ["GLACIER", "DEEP_ARCHIVE"] } }
      RefuseCustomerKeys = { Null = { "s3:x-amz-server-side-encryption-customer-algorithm" = "false" } }
      RefuseOtherKmsKeys = {
        Null            = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" }
        StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = ["arn:aws:kms:eu-central-1:123456789012:key/own"] }
      }
    }
    error_message = "Bucket policy: ${aws_s3_bucket_policy.registry[0].policy}"
  }
}

run "force_destroy_allows_deletes_but_no_overwritten_records" {
  module {
    source = "./modules/registry"
  }

  variables {
    force_destroy = true
  }

  assert {
    condition     = aws_s3_bucket.registry[0].force_destroy
    error_message = "The bucket goes with the models in it."
  }
  assert {
    condition     = [for s in jsondecode(aws_s3_bucket_policy.registry[0].policy).Statement : s.Sid] == ["RefusePlainHttp", "RefuseToOverwrite", "RefuseArchives", "RefuseCustomerKeys", "RefuseOtherKmsKeys"]
    error_message = "Bucket policy: ${aws_s3_bucket_policy.registry[0].policy}"
  }
}

run "who_pushes_may_write_bundles_but_move_no_alias" {
  module {
    source = "./modules/registry"
  }

  variables {
    prefix = "ml/registry"
  }

  assert {
    condition = jsondecode(output.push_policies[0]) == {
      Version = "2012-10-17"
      Statement = [
        {
          Sid    = "Read"
          Effect = "Allow"
          Action = "s3:GetObject"
          Resource = [
            "arn:aws:s3:::acme-123456789012-eu-central-1/ml/registry/blobs/*",
            "arn:aws:s3:::acme-123456789012-eu-central-1/ml/registry/models/*",
            "arn:aws:s3:::acme-123456789012-eu-central-1/ml/registry/releases/*",
            "arn:aws:s3:::acme-123456789012-eu-central-1/ml/registry/deployments/*",
          ]
        },
        {
          Sid      = "List"
          Effect   = "Allow"
          Action   = "s3:ListBucket"
          Resource = "arn:aws:s3:::acme-123456789012-eu-central-1"
          Condition = {
            StringLike = {
              "s3:prefix" = ["ml/registry/blobs/*", "ml/registry/models/*", "ml/registry/releases/*", "ml/registry/deployments/*"]
            }
          }
        },
        {
          Sid    = "Push"
          Effect = "Allow"
          Action = ["s3:PutObject", "s3:AbortMultipartUpload"]
          Resource = [
            "arn:aws:s3:::acme-123456789012-eu-central-1/ml/registry/blobs/sha256/????????????????????????????????????????????????????????????????",
            "arn:aws:s3:::acme-123456789012-eu-central-1/ml/registry/models/fraud/versions/??????????.json",
            "arn:aws:s3:::acme-123456789012-eu-central-1/ml/registry/models/fraud/digests/????????????????????????????????????????????????????????????????.json",
          ]
        },
      ]
    }
    error_message = "Push policy: ${output.push_policies[0]}"
  }
  assert {
    condition     = output.uri == "s3://acme-123456789012-eu-central-1/ml/registry"
    error_message = "The URI ends with the prefix."
  }
}

run "many_models_are_pushed_with_several_policies" {
  module {
    source = "./modules/registry"
  }

  variables {
    prefix      = "machine-learning/registry"
    push_models = [for n in range(60) : format("model-with-a-rather-long-name-%02d", n)]
  }

  assert {
    condition     = length(output.push_policies) > 1 && alltrue([for policy in output.push_policies : length(policy) <= 6144])
    error_message = "Characters: ${jsonencode([for policy in output.push_policies : length(policy)])}"
  }
  assert {
    condition = length(distinct(flatten([
      for policy in output.push_policies : [
        for s in jsondecode(policy).Statement : [for arn in s.Resource : arn if strcontains(arn, "/models/")] if s.Sid == "Push"
      ]
    ]))) == 120
    error_message = "Every model's versions and digests are in one of the policies."
  }
  assert {
    condition = alltrue([
      for policy in output.push_policies : [for s in jsondecode(policy).Statement : s.Sid] == ["Read", "List", "Push"]
    ])
    error_message = "Each policy is enough for its models."
  }
}

run "names_of_one_character_fill_a_policy" {
  module {
    source = "./modules/registry"
  }

  variables {
    push_models = [for n in range(26) : substr("abcdefghijklmnopqrstuvwxyz", n, 1)]
  }

  assert {
    condition     = alltrue([for policy in output.push_policies : length(policy) <= 6144])
    error_message = "Characters: ${jsonencode([for policy in output.push_policies : length(policy)])}"
  }
}

run "model_with_a_wildcard_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    push_models = ["fraud*"]
  }
  expect_failures = [var.push_models]
}

run "who_promotes_may_move_that_one_alias" {
  module {
    source = "./modules/registry"
  }

  assert {
    condition     = sort(keys(output.promote_policies)) == tolist(["fraud:prod", "fraud:staging"])
    error_message = "A policy for each alias."
  }
  assert {
    condition = [
      for s in jsondecode(output.promote_policies["fraud:prod"]).Statement : s.Resource if s.Action == "s3:PutObject"
    ] == ["arn:aws:s3:::acme-123456789012-eu-central-1/models/fraud/aliases/prod/??????????.json"]
    error_message = "Promote policy: ${output.promote_policies["fraud:prod"]}"
  }
  assert {
    condition = alltrue([
      for s in jsondecode(output.promote_policies["fraud:prod"]).Statement : contains(["Read", "List", "Promote"], s.Sid)
    ])
    error_message = "Beside moving the alias, it only reads."
  }
}

run "key_of_the_customer_encrypts_and_its_use_is_granted" {
  module {
    source = "./modules/registry"
  }

  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1234"
  }

  assert {
    condition = alltrue([
      one(aws_s3_bucket_server_side_encryption_configuration.registry[0].rule).apply_server_side_encryption_by_default[0].sse_algorithm == "aws:kms",
      one(aws_s3_bucket_server_side_encryption_configuration.registry[0].rule).apply_server_side_encryption_by_default[0].kms_master_key_id == var.kms_key_arn,
      one(aws_s3_bucket_server_side_encryption_configuration.registry[0].rule).bucket_key_enabled,
    ])
    error_message = "The bucket is encrypted with the key."
  }
  assert {
    condition = alltrue([
      for policy in [output.push_policies[0], output.promote_policies["fraud:prod"]] : contains(
        [for s in jsondecode(policy).Statement : jsonencode([s.Action, s.Resource])],
        jsonencode([["kms:Decrypt", "kms:GenerateDataKey"], [var.kms_key_arn]]),
      )
    ])
    error_message = "Who writes may use the key."
  }
}

run "bucket_that_exists_is_left_as_it_is" {
  module {
    source = "./modules/registry"
  }

  variables {
    bucket = "shared-models"
    prefix = "ml"
  }

  assert {
    condition = length(concat(
      aws_s3_bucket.registry[*].id,
      aws_s3_bucket_policy.registry[*].id,
      aws_s3_bucket_notification.registry[*].id,
      aws_s3_bucket_lifecycle_configuration.registry[*].id,
      aws_s3_bucket_versioning.registry[*].id,
      aws_s3_bucket_public_access_block.registry[*].id,
      aws_s3_bucket_ownership_controls.registry[*].id,
      aws_s3_bucket_server_side_encryption_configuration.registry[*].id,
    )) == 0
    error_message = "No setting of the bucket is touched."
  }
  assert {
    condition     = output.uri == "s3://shared-models/ml" && output.bucket == "shared-models"
    error_message = "The registry lies in the bucket, below the prefix."
  }
  assert {
    condition     = alltrue([for package in values(output.packages) : package.bucket == "shared-models" && startswith(package.key, "ml/packages/")])
    error_message = "Packages lie below the prefix, too."
  }
}

run "packages_are_kept_under_their_digest" {
  module {
    source = "./modules/registry"
  }

  assert {
    condition = output.packages["tests/packages/runtime.zip"] == {
      bucket           = "acme-123456789012-eu-central-1"
      key              = "packages/${var.name}/${filesha256("tests/packages/runtime.zip")}.zip"
      source_code_hash = filebase64sha256("tests/packages/runtime.zip")
    }
    error_message = "Packages: ${jsonencode(output.packages)}"
  }
}

run "name_with_capitals_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    name = "Acme"
  }
  expect_failures = [var.name]
}

run "name_too_long_for_a_bucket_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    name = "a23456789-123456789-123456789-123456"
  }
  expect_failures = [var.name]
}

run "prefix_with_a_slash_at_the_end_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    prefix = "ml/"
  }
  expect_failures = [var.prefix]
}

run "prefix_with_a_wildcard_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    prefix = "team-*"
  }
  expect_failures = [var.prefix]
}

run "force_destroy_of_a_bucket_that_exists_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    bucket        = "shared-models"
    force_destroy = true
  }
  expect_failures = [var.force_destroy]
}

run "package_that_was_not_built_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    packages = ["tests/packages/missing.zip"]
  }
  expect_failures = [var.packages]
}

run "a_bucket_is_named_and_no_uri" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    bucket = "s3://models"
  }
  expect_failures = [var.bucket]
}

run "a_bucket_of_packages_is_named_and_no_uri" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    packages_bucket = "s3://packages"
  }
  expect_failures = [var.packages_bucket]
}

run "an_alias_of_a_key_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:alias/models"
  }
  expect_failures = [var.kms_key_arn]
}

run "an_alias_of_a_previous_key_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    previous_kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:alias/models"]
  }
  expect_failures = [var.previous_kms_key_arns]
}

run "what_was_written_under_a_previous_key_is_read_with_it" {
  module {
    source = "./modules/registry"
  }
  variables {
    kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/new"
    previous_kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/old"]
  }
  assert {
    condition = [
      for s in jsondecode(output.push_policies[0]).Statement : s.Resource if s.Sid == "UseKey"
    ] == [["arn:aws:kms:eu-central-1:123456789012:key/new", "arn:aws:kms:eu-central-1:123456789012:key/old"]]
    error_message = "Policy: ${output.push_policies[0]}"
  }
}

run "modules_with_functions_get_one_object" {
  module {
    source = "./modules/registry"
  }
  variables {
    prefix                = "ml"
    kms_key_arn           = "arn:aws:kms:eu-central-1:123456789012:key/1"
    previous_kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/2"]
  }

  assert {
    condition = jsonencode(output.registry) == jsonencode({
      bucket       = "acme-123456789012-eu-central-1"
      uri          = "s3://acme-123456789012-eu-central-1/ml"
      region       = null
      bucket_arn   = "arn:aws:s3:::acme-123456789012-eu-central-1"
      root         = "ml/"
      kms_key_arns = ["arn:aws:kms:eu-central-1:123456789012:key/1", "arn:aws:kms:eu-central-1:123456789012:key/2"]
    })
    error_message = "Registry: ${jsonencode(output.registry)}"
  }
}

run "previous_keys_are_refused_under_their_old_name" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    former_kms_key_arns = []
  }
  expect_failures = [var.former_kms_key_arns]
}

run "stacks_of_other_accounts_may_read_and_record_what_is_theirs" {
  module {
    source = "./modules/registry"
  }
  variables {
    bucket   = "shared-models"
    prefix   = "ml"
    accounts = ["222222222222"]
  }

  assert {
    condition = {
      for statement in jsondecode(output.bucket_policy).Statement : trimsuffix(statement.Sid, substr(sha1("ml"), 0, 8)) => [statement.Principal.AWS, statement.Action, statement.Resource] if statement.Effect == "Allow"
      } == {
      ReadByOtherAccounts = [
        ["arn:aws:iam::222222222222:root"], "s3:GetObject",
        [for folder in ["blobs", "models", "releases", "deployments"] : "arn:aws:s3:::shared-models/ml/${folder}/*"],
      ]
      ListByOtherAccounts          = [["arn:aws:iam::222222222222:root"], "s3:ListBucket", "arn:aws:s3:::shared-models"]
      RecordReleasesOf222222222222 = ["arn:aws:iam::222222222222:root", "s3:PutObject", "arn:aws:s3:::shared-models/ml/releases/222222222222-*"]
      RecordDeploymentsOf222222222222 = [
        "arn:aws:iam::222222222222:root",
        ["s3:PutObject", "s3:GetObjectTagging", "s3:DeleteObject", "s3:DeleteObjectVersion"],
        "arn:aws:s3:::shared-models/ml/deployments/222222222222-*",
      ]
      ListDeploymentsOf222222222222 = ["arn:aws:iam::222222222222:root", "s3:ListBucketVersions", "arn:aws:s3:::shared-models"]
    }
    error_message = "Policy: ${output.bucket_policy}"
  }
}

run "without_accounts_the_policy_allows_nothing" {
  module {
    source = "./modules/registry"
  }

  assert {
    condition     = alltrue([for statement in jsondecode(output.bucket_policy).Statement : statement.Effect == "Deny"])
    error_message = "Policy: ${output.bucket_policy}"
  }
}

run "packages_go_to_a_bucket_in_the_functions_region" {
  module {
    source = "./modules/registry"
  }
  variables {
    bucket          = "shared-models"
    region          = "us-west-2"
    packages_bucket = "packages-here"
    packages        = ["tests/packages/runtime.zip"]
  }

  assert {
    condition     = output.packages["tests/packages/runtime.zip"].bucket == "packages-here" && output.registry.region == "us-west-2"
    error_message = "Packages: ${jsonencode(output.packages)}"
  }
}

run "region_without_a_bucket_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    region = "us-west-2"
  }
  expect_failures = [var.region]
}

run "region_that_is_none_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    bucket = "shared-models"
    region = "Frankfurt"
  }
  expect_failures = [var.region]
}

run "region_of_the_functions_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    bucket = "shared-models"
    region = "eu-central-1"
  }
  expect_failures = [var.region]
}

run "packages_for_another_region_without_a_bucket_there_are_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    bucket   = "shared-models"
    region   = "us-west-2"
    packages = ["tests/packages/runtime.zip"]
  }
  expect_failures = [var.packages_bucket]
}

run "account_with_eleven_digits_is_refused" {
  command = plan
  module {
    source = "./modules/registry"
  }
  variables {
    accounts = ["12345678901"]
  }
  expect_failures = [var.accounts]
}

run "policies_of_two_stacks_in_one_bucket_share_no_sid" {
  module {
    source = "./modules/registry"
  }
  variables {
    bucket = "shared-models"
    prefix = "ml"
  }

  assert {
    condition     = alltrue([for s in jsondecode(output.bucket_policy).Statement : endswith(s.Sid, substr(sha1("ml"), 0, 8))])
    error_message = "A merged policy has each Sid once, so the Sids of a prefix are its own."
  }
}
