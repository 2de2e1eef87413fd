output "registry_uri" {
  value       = module.inference.registry_uri
  description = "Set SHEARLING_REGISTRY to this to push models."
}

output "function_name" {
  value       = module.inference.function_names["cancer"]
  description = "Invoke `<function_name>:prod` or `<function_name>:staging`."
}

output "releaser_name" {
  value       = module.inference.releaser_name
  description = "The function that moves the aliases."
}

output "api_url" {
  value       = module.inference.api_url
  description = "POST to `<api_url>/v2/models/cancer/infer`."
}

output "api_id" {
  value       = module.inference.api_id
  description = "ID of the API."
}

output "push_policy" {
  value       = module.inference.push_policy
  description = "IAM policy (JSON) for pushing models."
}

output "promote_policies" {
  value       = module.inference.promote_policies
  description = "IAM policy (JSON) for moving an alias, by `model:alias`."
}

output "invoke_policies" {
  value       = module.inference.invoke_policies
  description = "IAM policy (JSON) for invoking the model, by `model:alias`."
}

output "index_policy" {
  value       = module.inference.index_policy
  description = "IAM policy (JSON) for listing the models."
}
