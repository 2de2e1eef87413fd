output "uri" {
  value       = "s3://${local.bucket}${var.prefix == "" ? "" : "/${var.prefix}"}"
  description = "The registry as `SHEARLING_REGISTRY` names it: `s3://bucket[/prefix]`."
}

output "bucket" {
  value       = local.bucket
  description = "Name of the bucket."

  # Who uses the registry finds a bucket that is encrypted, private and announces new objects.
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
  description = "Where each package was uploaded, by path: what a function module takes as `package`."
}

output "bucket_policy_json" {
  value       = local.bucket_policy_json
  description = "What the bucket's policy refuses: to be merged into that of a bucket that exists."
}

output "push_policy_json" {
  value       = local.push_policy_json
  description = "Policy for who pushes: writes bundles and versions of any model and reads the registry; moves no alias."
}

output "promote_policies_json" {
  value       = local.promote_policies_json
  description = "Policy for who promotes, by `model:alias`: moves that one alias and reads the registry."
}
