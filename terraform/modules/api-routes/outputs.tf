output "targets" {
  value       = local.targets
  description = "What API Gateway may invoke, by `model:alias`: model, alias, function name and invoke ARN."
}

output "model_paths" {
  value       = merge(local.default_paths, local.alias_paths)
  description = "The key in `targets` that answers, by path."
}

output "catalog_paths" {
  value       = keys(local.catalog_methods)
  description = "The paths that the catalog answers."
}

output "catalog_calls" {
  value       = flatten([for path, methods in local.catalog_methods : [for method in methods : "${method}${path}"]])
  description = "What a caller of the catalog may request: method and path, as an ARN for `execute-api` ends. Each names its method, because `*` also matches slashes."
}

output "throttle" {
  value       = var.throttle
  description = "The throttle with its defaults."
}
