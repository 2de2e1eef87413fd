output "subnets" {
  value       = var.vpc.subnets
  description = "The subnets, which reach S3 when they are used."
  depends_on  = [aws_vpc_endpoint.s3]
}

output "security_group_id" {
  value       = one(aws_security_group.s3_only[*].id)
  description = "ID of the security group that reaches S3 alone; null without `s3_only`."
  depends_on  = [aws_vpc_security_group_egress_rule.s3]
}

output "gateway_policy" {
  value       = one(aws_vpc_endpoint.s3[*].policy)
  description = "Policy (JSON) of the S3 gateway; null without one."
}
