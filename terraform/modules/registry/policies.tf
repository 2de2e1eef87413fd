# The bucket's policy, and IAM policies to attach to the people and pipelines that push and promote.

locals {
  # Records are written once. Without this statement, a put could overwrite them.
  write_once_statements = [
    {
      Sid       = "RefuseToOverwriteRecords"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = ["${local.objects}models/*", "${local.objects}releases/*"]
      Condition = {
        Null = { "s3:if-none-match" = "true" }
        # Parts of a multipart upload cannot have the header; the request that completes the upload must have it.
        Bool = { "s3:ObjectCreationOperation" = "true" }
      }
    },
  ]

  # Not for deployments/ and packages/: Terraform deletes these with what they describe.
  keep_statements = var.force_destroy ? [] : [
    {
      Sid       = "RefuseToDeleteModels"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
      Resource  = [for folder in ["blobs", "models", "releases"] : "${local.objects}${folder}/*"]
    },
  ]

  bucket_policy_json = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid       = "RefusePlainHttp"
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:*"
          Resource  = [local.bucket_arn, "${local.bucket_arn}/*"]
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
      ],
      local.write_once_statements,
      local.keep_statements,
    )
  })

  read_statements = [
    {
      Sid      = "Read"
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = [for folder in ["blobs", "models", "releases", "deployments"] : "${local.objects}${folder}/*"]
    },
    {
      # With it, S3 answers 404 for a missing object, and without it 403.
      Sid      = "List"
      Effect   = "Allow"
      Action   = "s3:ListBucket"
      Resource = local.bucket_arn
      Condition = {
        StringLike = {
          "s3:prefix" = [for folder in ["blobs", "models", "releases", "deployments"] : "${local.root}${folder}/*"]
        }
      }
    },
  ]

  # With a bucket key, one data key encrypts many objects: a writer needs both permissions.
  write_key_statements = length(local.keys) == 0 ? [] : [
    {
      Sid      = "UseKey"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = local.keys
    },
  ]

  push_policy_json = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      local.read_statements,
      [
        {
          Sid    = "Push"
          Effect = "Allow"
          Action = ["s3:PutObject", "s3:AbortMultipartUpload"]
          # IAM's `*` also matches slashes. These patterns would match an alias named `versions`, so that name is reserved.
          Resource = [
            "${local.objects}blobs/*",
            "${local.objects}models/*/versions/*",
            "${local.objects}models/*/digests/*",
          ]
        },
      ],
      local.write_key_statements,
    )
  })

  model_aliases = merge([
    for model, aliases in var.aliases : {
      for alias in aliases : "${model}:${alias}" => "models/${model}/aliases/${alias}"
    }
  ]...)

  promote_policies_json = {
    for target, folder in local.model_aliases : target => jsonencode({
      Version = "2012-10-17"
      Statement = concat(
        local.read_statements,
        [
          {
            Sid      = "Promote"
            Effect   = "Allow"
            Action   = "s3:PutObject"
            Resource = "${local.objects}${folder}/*"
          },
        ],
        local.write_key_statements,
      )
    })
  }
}
