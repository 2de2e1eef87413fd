output "registry_uri" {
  value       = module.inference.registry_uri
  description = "Set SHEARLING_REGISTRY to this to push models."
}

output "function_name" {
  value       = module.inference.function_names["embed"]
  description = "Invoke `<function_name>:prod`."
}

output "releaser_name" {
  value       = module.inference.releaser_name
  description = "The function that moves the alias."
}

output "stager_name" {
  value       = module.inference.stager_name
  description = "The function that writes to the file system."
}

output "prune_policy" {
  value       = module.inference.prune_policy
  description = "IAM policy (JSON) for running `shearling prune`, together with the one for pushing."
}
