output "policy_statements" {
  value       = local.statements
  description = "What the role of each model's function may do for its events, by model: statements of an IAM policy. Known before the functions exist."
}

output "redrive_policy" {
  value       = local.redrive_policy_json
  description = "IAM policy (JSON) for running `shearling events`."
}

output "queue_names" {
  value       = { for key, queue in aws_sqs_queue.objects : key => queue.name }
  description = "Name of each event's queue, by `model:event`."
}
