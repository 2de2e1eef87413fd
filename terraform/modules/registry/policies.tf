# The bucket's policy, and IAM policies to attach to the people and pipelines that push and promote.

locals {
  # Records and blobs are written once. Without this statement, a put could overwrite them.
  write_once_statements = [
    {
      Sid       = "RefuseToOverwrite"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = [for folder in ["blobs", "models", "releases"] : "${local.objects}${folder}/*"]
      Condition = {
        Null = { "s3:if-none-match" = "true" }
        # Parts of a multipart upload cannot have the header; the request that completes the upload must have it.
        Bool = { "s3:ObjectCreationOperation" = "true" }
      }
    },
  ]

  # Nobody can read an object with the writer's own key or in an archive, or replace it: a record like that would block all
  # records after it.
  readable_statements = [
    for sid, condition in {
      RefuseArchives     = { StringEquals = { "s3:x-amz-storage-class" = ["GLACIER", "DEEP_ARCHIVE"] } }
      RefuseCustomerKeys = { Null = { "s3:x-amz-server-side-encryption-customer-algorithm" = "false" } }
      RefuseOtherKmsKeys = merge(
        { Null = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" } },
        length(local.keys) == 0 ? {} : { StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = local.keys } },
      )
      } : {
      Sid       = sid
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = [for folder in ["blobs", "models", "releases"] : "${local.objects}${folder}/*"]
      Condition = condition
    }
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
    # Policies of several stacks that share a bucket are merged into one, which has each Sid once.
    Statement = [for statement in concat(
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
      local.readable_statements,
      local.keep_statements,
      local.account_read_statements,
      local.account_write_statements,
    ) : merge(statement, { Sid = "${statement.Sid}${var.prefix == "" ? "" : substr(sha1(var.prefix), 0, 8)}" })]
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
      Sid       = "UseKey"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = local.keys
      Condition = { StringLike = { "kms:ViaService" = "s3.*.${data.aws_partition.current.dns_suffix}" } }
    },
  ]

  # IAM's `*` also matches slashes: it would allow keys below and beside the records. A pattern that names the model and
  # ends in a fixed length does not.
  number     = join("", [for _ in range(10) : "?"])
  hex_digest = join("", [for _ in range(64) : "?"])

  push_blobs = "${local.objects}blobs/sha256/${local.hex_digest}"
  push_records = {
    for model in var.push_models : model => [
      "${local.objects}models/${model}/versions/${local.number}.json",
      "${local.objects}models/${model}/digests/${local.hex_digest}.json",
    ]
  }

  # IAM takes a policy of 6,144 characters, so many models need several. Each is complete for its models: as many as fit
  # if all had the longest name.
  push_characters = length(jsonencode({ Version = "2012-10-17", Statement = concat(local.push_statements, local.push_only_blobs) }))
  models_per_push = max(1, floor((6144 - local.push_characters) / max(1, [for records in values(local.push_records) : length(jsonencode(records))]...)))

  push_statements = concat(local.read_statements, local.write_key_statements)
  push_only_blobs = [
    {
      Sid      = "Push"
      Effect   = "Allow"
      Action   = ["s3:PutObject", "s3:AbortMultipartUpload"]
      Resource = [local.push_blobs]
    },
  ]

  push_policies_json = [
    for models in chunklist(sort(var.push_models), local.models_per_push) : jsonencode({
      Version = "2012-10-17"
      Statement = concat(local.push_statements, [
        merge(local.push_only_blobs[0], { Resource = concat([local.push_blobs], flatten([for model in models : local.push_records[model]])) }),
      ])
    })
  ]

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
            Resource = "${local.objects}${folder}/${local.number}.json"
          },
        ],
        local.write_key_statements,
      )
    })
  }
}
