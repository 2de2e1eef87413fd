output "access_point_arn" {
  value       = local.access_point_arn
  description = "What functions mount, as `file_system.access_point_arn`."

  # A function that is created before every mount target is there cannot be started in that zone.
  depends_on = [
    aws_efs_mount_target.models,
    aws_efs_file_system_policy.models,
    aws_vpc_security_group_ingress_rule.nfs,
    aws_vpc_security_group_egress_rule.nfs,
  ]
}

output "security_group_id" {
  value       = aws_security_group.function.id
  description = "Security group for the functions that mount it."
}

output "file_system_id" {
  value       = one(aws_efs_file_system.models[*].id)
  description = "ID of the file system; null if an access point was given."
}
