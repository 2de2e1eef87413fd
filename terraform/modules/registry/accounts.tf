# What the bucket's policy allows to other accounts, whose stacks serve from this registry. Their own policies must allow it,
# too.

locals {
  account_arns = { for account in var.accounts : account => "arn:${data.aws_partition.current.partition}:iam::${account}:root" }

  # A statement needs a principal.
  account_read_statements = [
    for statement in local.read_statements : merge(statement, {
      Sid       = "${statement.Sid}ByOtherAccounts"
      Principal = { AWS = values(local.account_arns) }
    }) if length(var.accounts) > 0
  ]

  account_write_statements = flatten([
    for account, arn in local.account_arns : [
      {
        Sid       = "RecordReleasesOf${account}"
        Effect    = "Allow"
        Principal = { AWS = arn }
        Action    = "s3:PutObject"
        Resource  = "${local.objects}releases/${account}-*"
      },
      {
        # Terraform writes and deletes these, with their versions.
        Sid       = "RecordDeploymentsOf${account}"
        Effect    = "Allow"
        Principal = { AWS = arn }
        Action    = ["s3:PutObject", "s3:GetObjectTagging", "s3:DeleteObject", "s3:DeleteObjectVersion"]
        Resource  = "${local.objects}deployments/${account}-*"
      },
      {
        Sid       = "ListDeploymentsOf${account}"
        Effect    = "Allow"
        Principal = { AWS = arn }
        Action    = "s3:ListBucketVersions"
        Resource  = local.bucket_arn
        Condition = { StringLike = { "s3:prefix" = "${local.root}deployments/${account}-*" } }
      },
    ]
  ])
}
