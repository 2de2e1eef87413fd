output "state_machine_arn" {
  value       = local.state_machine_arn
  description = "ARN of the state machine, known at plan."
}

output "policy_statements" {
  value       = module.objects.statements
  description = "What the role of each function may do for runs: statements of an IAM policy. Known before the functions exist."
}

output "bucket_arns" {
  value       = distinct([for place in concat(local.sources, local.outputs) : "${local.bucket_arn}${place.bucket}"])
  description = "ARN of each bucket that runs read or write."
}

output "batch_policy" {
  value       = local.user_policy_json
  description = "IAM policy (JSON) for `sdk.batch` and `shearling batch`."
}

output "role_arn" {
  value       = local.role_arn
  description = "ARN of the state machine's role."
}

output "role_policies" {
  value       = [local.batch_policy_json]
  description = "What the role may do: policies (JSON) to attach to a role that you give."
}

output "log_group_name" {
  value       = module.log_group.name
  description = "Name of the log group that the state machine writes to."
}

output "planner_name" {
  value       = module.lambda.function_name
  description = "Name of the planner's function."
}

output "planner_role_arn" {
  value       = module.lambda.role_arn
  description = "ARN of the planner's role."
}

output "planner_role_policies" {
  value       = module.lambda.policies
  description = "What the planner's role may do: policies (JSON) to attach to a role that you give."
}

output "planner_log_group_name" {
  value       = module.lambda.log_group_name
  description = "Name of the log group that the planner writes to."
}
