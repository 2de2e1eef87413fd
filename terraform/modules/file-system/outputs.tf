output "access_point_arn" {
  value       = local.access_point_arn
  description = "What functions mount, as `file_system.access_point_arn`."

  # A function that is created before every mount target exists cannot start in that availability zone. One that is released
  # before it reaches S3 fails its check.
  depends_on = [
    aws_efs_mount_target.models,
    aws_efs_file_system_policy.models,
    aws_vpc_security_group_ingress_rule.nfs,
    aws_vpc_security_group_egress_rule.nfs,
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_endpoint.s3,
  ]
}

output "security_group_id" {
  value       = aws_security_group.function.id
  description = "Security group for the functions that mount the file system."
}

output "file_system_id" {
  value       = one(aws_efs_file_system.models[*].id)
  description = "ID of the file system; null with `existing`."
}

output "stager_name" {
  value       = module.stager.function_name
  description = "Name of the stager's function."
}

output "stager_arn" {
  value       = module.stager.function_arn
  description = "ARN of the stager's function, for the releaser."

  # The releaser invokes the stager, which reads S3.
  depends_on = [aws_vpc_security_group_egress_rule.https, aws_vpc_endpoint.s3]
}

output "stager_role_arn" {
  value       = module.stager.role_arn
  description = "ARN of the stager's role."
}

output "stager_log_group_name" {
  value       = module.stager.log_group_name
  description = "Name of the log group that the stager writes to."
}

output "stager_role_policies" {
  value       = concat(module.stager.policies, [local.report_policy])
  description = "What the stager's role may do: policies (JSON) to attach to a role that you give."
}
