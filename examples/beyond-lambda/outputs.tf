output "registry_uri" {
  value       = module.inference.registry_uri
  description = "Set SHEARLING_REGISTRY to this to push models."
}

output "image_repository_url" {
  value       = module.inference.image_repository_url
  description = "Push the image to a tag of this repository."
}

output "function_name" {
  value       = module.inference.function_names["embed"]
  description = "Invoke `<function_name>:prod` or `<function_name>:staging`."
}
