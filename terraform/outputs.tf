output "registry_uri" {
  value       = module.registry.uri
  description = "The registry, as `SHEARLING_REGISTRY` names it: `s3://bucket[/prefix]`."
}

output "function_names" {
  value       = { for name, function in module.function : name => function.function_name }
  description = "Name of the function, by model."
}

output "alias_arns" {
  value       = { for key, alias in local.aliases : key => alias.arn }
  description = "What callers invoke, by `model:alias`."
}

output "api_url" {
  value       = one(module.api[*].url)
  description = "Base URL of the API; null without one. Requests go to `<api_url>/v2/models/<model>/infer`."
}

output "api_id" {
  value       = one(module.api[*].api_id)
  description = "ID of the API; null without one."
}

output "api_domain_target" {
  value       = one(module.api[*].domain_target)
  description = "What the alias record of the API's domain points to; null without one."
}

output "rest_api_url" {
  value       = one(module.rest_api[*].url)
  description = "Base URL of the REST API, its stage included; null without one."
}

output "rest_api_id" {
  value       = one(module.rest_api[*].api_id)
  description = "ID of the REST API; null without one."
}

output "rest_api_keys" {
  value       = one(module.rest_api[*].api_keys)
  sensitive   = true
  description = "Value of each key of the REST API, by its name: what callers send as `x-api-key`; null without one."
}

output "rest_api_usage_plan_ids" {
  value       = one(module.rest_api[*].usage_plan_ids)
  description = "ID of each usage plan of the REST API, by its name; null without one."
}

output "rest_api_domain_target" {
  value       = one(module.rest_api[*].domain_target)
  description = "What the alias record of the REST API's domain points to; null without one."
}

output "releaser_name" {
  value       = module.releaser.function_name
  description = "Name of the releaser's function, for `shearling release`."
}

output "push_policy" {
  value       = module.registry.push_policy_json
  description = "IAM policy (JSON) for who pushes models; it moves no alias."
}

output "promote_policies" {
  value       = module.registry.promote_policies_json
  description = "IAM policy (JSON) for who moves an alias, by `model:alias`."
}

output "invoke_policies" {
  value       = local.invoke_policies_json
  description = "IAM policy (JSON) for who invokes a model, directly and through the APIs, by `model:alias`."
}

output "index_policy" {
  value       = local.index_policy_json
  description = "IAM policy (JSON) for who lists the models through the APIs; null without one."
}

output "release_policy" {
  value       = module.releaser.release_policy_json
  description = "IAM policy (JSON) for who runs `shearling release`."
}

output "stager_name" {
  value       = one(module.stager[*].function_name)
  description = "Name of the function that writes to the file system; null without one."
}

output "security_group_id" {
  value       = one(module.file_system[*].security_group_id)
  description = "Security group of the functions with a file system, to add rules to; null without one."
}

output "prune_policy" {
  value       = local.prune_policy_json
  description = "IAM policy (JSON) for who runs `shearling prune`, beside `push_policy`; null without a file system."
}

output "role_names" {
  value       = { for name, function in module.function : name => function.role_name }
  description = "Name of the function's role, by model, to attach further rights to."
}
