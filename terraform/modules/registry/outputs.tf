output "uri" {
  value       = local.uri
  description = "The registry, as in `SHEARLING_REGISTRY`: `s3://bucket[/prefix]`."
}

output "bucket" {
  value       = local.bucket
  description = "Name of the bucket."
}

output "is_created" {
  value       = length(aws_s3_bucket.registry) == 1
  description = "Whether this module creates the bucket."
}

output "registry" {
  value = {
    bucket       = local.bucket
    uri          = local.uri
    region       = var.region
    bucket_arn   = local.bucket_arn
    root         = local.root
    kms_key_arns = local.keys
  }
  description = "Where the registry is and which keys encrypt it: the input `registry` of the modules with functions."

  # Whoever uses the registry finds an encrypted, private bucket that sends events.
  depends_on = [
    aws_s3_bucket_policy.registry,
    aws_s3_bucket_notification.registry,
    aws_s3_bucket_server_side_encryption_configuration.registry,
    aws_s3_bucket_versioning.registry,
  ]
}

output "packages" {
  value = {
    for path in var.packages : path => {
      bucket           = aws_s3_object.package[filesha256(path)].bucket
      key              = aws_s3_object.package[filesha256(path)].key
      source_code_hash = filebase64sha256(path)
    }
  }
  description = "Where each package was uploaded, by path: the input `package` of the modules with functions."
}

output "bucket_policy" {
  value       = local.bucket_policy_json
  description = "The bucket's policy (JSON), to merge into the policy of an existing bucket: what it refuses to everyone, and what it allows to other accounts."
}

output "push_policies" {
  value       = local.push_policies_json
  description = "IAM policies (JSON) for pushing, as many as IAM's limit of 6,144 characters needs: together they may write bundles and versions of `push_models` and read the registry, but move no alias."
}

output "promote_policies" {
  value       = local.promote_policies_json
  description = "IAM policy (JSON) for promoting, by `model:alias`: it may move that alias and read the registry."
}
