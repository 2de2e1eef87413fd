output "registry_uri" {
  value       = module.inference.registry_uri
  description = "Set SHEARLING_REGISTRY to this to push models and to start runs."
}

output "bucket" {
  value       = aws_s3_bucket.data.bucket
  description = "Put files to `in/` in this bucket; runs write below `out/`."
}

output "batch_policy" {
  value       = module.inference.batch_policy
  description = "IAM policy (JSON) for `sdk.batch` and `shearling batch`."
}

output "state_machine_arn" {
  value       = module.inference.batch_state_machine_arn
  description = "ARN of the state machine, for other callers of Step Functions."
}
