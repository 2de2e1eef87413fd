output "buckets" {
  value       = { for model, each in module.bucket : model => each.bucket }
  description = "Name of each model's bucket."
}

output "bucket_arns" {
  value       = local.bucket_arns
  description = "ARN of each model's bucket."
}

output "policy_statements" {
  value       = local.statements
  description = "What the role of each model's function may do for its jobs, by model: statements of an IAM policy. Known before the functions exist."
}
