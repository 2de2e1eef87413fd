output "registry_uri" {
  value       = module.registry.uri
  description = "The registry, as in `SHEARLING_REGISTRY`: `s3://bucket[/prefix]`."
}

output "bucket_policy" {
  value       = module.registry.bucket_policy
  description = "The bucket's policy (JSON), to merge into the policy of an existing bucket: it keeps models from being overwritten and deleted, and lets `registry.accounts` serve from it."
}

output "function_names" {
  value       = { for name, function in module.function : name => function.function_name }
  description = "Name of the function, by model."
}

output "alias_arns" {
  value       = { for key, alias in local.aliases : key => alias.arn }
  description = "ARN of each alias, which callers invoke, by `model:alias`."
}

output "api_url" {
  value       = one(module.api[*].url)
  description = "Base URL of the HTTP API; null without one. Requests go to `<api_url>/v2/models/<model>/infer`."
}

output "api_id" {
  value       = one(module.api[*].api_id)
  description = "ID of the HTTP API; null without one."
}

output "api_domain_target" {
  value       = one(module.api[*].domain_target)
  description = "Name and hosted zone that the alias record of the HTTP API's domain points to; null without a domain."
}

output "rest_api_url" {
  value       = one(module.rest_api[*].url)
  description = "Base URL of the REST API with its stage; null without one."
}

output "rest_api_id" {
  value       = one(module.rest_api[*].api_id)
  description = "ID of the REST API; null without one."
}

output "rest_api_keys" {
  value       = one(module.rest_api[*].api_keys)
  sensitive   = true
  description = "Value of each key of the REST API, by name, which callers send as `x-api-key`; null without a REST API."
}

output "rest_api_usage_plan_ids" {
  value       = one(module.rest_api[*].usage_plan_ids)
  description = "ID of each usage plan of the REST API, by name; null without a REST API."
}

output "rest_api_domain_target" {
  value       = one(module.rest_api[*].domain_target)
  description = "Name and hosted zone that the alias record of the REST API's domain points to; null without a domain."
}

output "releaser_name" {
  value       = module.releaser.function_name
  description = "Name of the releaser's function, for `shearling retry-release`."
}

output "push_policy" {
  value       = length(module.registry.push_policies) == 1 ? module.registry.push_policies[0] : null
  description = "IAM policy (JSON) for pushing the models in `models` and `push_models`. It does not allow moving an alias. Null if one policy cannot hold all models: use `push_policies`."
}

output "push_policies" {
  value       = module.registry.push_policies
  description = "The same as a list: several policies if the models need more than the 6,144 characters that IAM allows for one. Attach all of them, or only those of some models."
}

output "promote_policies" {
  value       = module.registry.promote_policies
  description = "IAM policy (JSON) for moving an alias, by `model:alias`."
}

output "invoke_policies" {
  value       = local.invoke_policies_json
  description = "IAM policy (JSON) for invoking a model, directly and through the APIs with IAM authorization, by `model:alias`."
}

output "index_policy" {
  value       = local.catalog_policy_json
  description = "IAM policy (JSON) for listing the models through the APIs; null without an API with IAM authorization."
}

output "release_policy" {
  value       = module.releaser.release_policy
  description = "IAM policy (JSON) for running `shearling retry-release`."
}

output "stager_name" {
  value       = one(module.file_system[*].stager_name)
  description = "Name of the function that writes to the file system; null without a file system."
}

output "security_group_id" {
  value       = one(module.file_system[*].security_group_id)
  description = "ID of the security group of the functions with a file system, to add rules to; null without a file system."
}

output "prune_policy" {
  value       = local.prune_policy_json
  description = "IAM policy (JSON) for running `shearling prune`, together with `push_policy`; null without a file system."
}

output "role_names" {
  value       = { for name, function in module.function : name => function.role_name }
  description = "Name of each function's role, by model, to attach further policies to."
}

output "role_arns" {
  value       = { for name, function in local.every_function : name => function.role_arn }
  description = "ARN of each function's role, by function name, the releaser, the stager, the catalog, the planner and the state machine included."
}

output "role_policies" {
  value       = { for name, function in local.every_function : name => function.role_policies }
  description = "What each function's role may do, by function name: IAM policies (JSON) to attach to a role that you give."
}

output "log_group_names" {
  value = merge(
    { for name, function in local.every_function : name => function.log_group_name },
    { for api in module.api : "api" => api.log_group_name },
    { for api in module.rest_api : "rest_api" => api.log_group_name if try(module.inputs.rest_api.access_log, false) },
  )
  description = "Name of each log group, by function name, and of the access logs of the APIs as `api` and `rest_api`."
}

output "event_bucket" {
  value       = one(module.event_bucket[*].bucket)
  description = "Name of the bucket that this module creates for events; null if all of them name theirs."
}

output "event_queues" {
  value       = one(module.events[*].queue_names)
  description = "Name of the queue of each event, by `model:event`; its dead-letter queue ends with `_failures`. Null without an event."
}

output "redrive_policy" {
  value       = one(module.events[*].redrive_policy)
  description = "IAM policy (JSON) for running `shearling events`; null without an event."
}

output "job_buckets" {
  value       = length(module.jobs) == 0 ? {} : module.jobs[0].buckets
  description = "Name of the bucket of asynchronous jobs of each model that has them."
}

output "endpoint_role_arns" {
  value       = length(module.sagemaker) == 0 ? {} : module.sagemaker[0].role_arns
  description = "ARN of the role of the containers of each model's endpoints, by model."
}

output "endpoint_role_policies" {
  value       = length(module.sagemaker) == 0 ? {} : module.sagemaker[0].role_policies
  description = "What that role may do, by model: an IAM policy (JSON) to attach to a role that you give."
}

output "image_repository_url" {
  value       = one(module.image_repository[*].url)
  description = "The repository of container images, for `shearling package image --push`; null without one."
}

output "batch_state_machine_arn" {
  value       = one(module.batch[*].state_machine_arn)
  description = "ARN of the state machine of batch runs; null without `batch`."
}

output "batch_policy" {
  value       = one(module.batch[*].batch_policy)
  description = "IAM policy (JSON) for starting, following and stopping batch runs, and for reading their outputs; null without `batch`."
}
