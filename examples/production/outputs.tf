output "registry_uri" {
  value       = module.inference.registry_uri
  description = "Set SHEARLING_REGISTRY to this to push models."
}

output "bucket_policy" {
  value       = module.inference.bucket_policy
  description = "Statements for the policy of the bucket, where that is defined."
}

output "api_domain_target" {
  value       = module.inference.api_domain_target
  description = "What the DNS record of the API's domain points to."
}

output "push_policies" {
  value       = module.inference.push_policies
  description = "IAM policies (JSON) for pushing models."
}

output "promote_policies" {
  value       = module.inference.promote_policies
  description = "IAM policy (JSON) for moving an alias, by `model:alias`."
}
