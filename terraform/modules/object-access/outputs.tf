output "statements" {
  value       = local.statements
  description = "Statements of an IAM policy, known at plan."
}
