# Network access: functions reach the file system and S3, and nothing reaches the functions.

# Only for the name of the gateway's service.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  # A rule without tags has none instead of an empty map, which would be a change.
  rule_tags = length(var.options.tags) == 0 ? null : var.options.tags

  # Security groups of the mount targets, which the functions reach on port 2049.
  mount_group_ids = var.existing == null ? aws_security_group.mount_target[*].id : var.existing.security_group_ids
}

resource "aws_security_group" "function" {
  # checkov:skip=CKV2_AWS_5: The functions that mount the file system are in other modules.

  name_prefix = "${var.name}-functions-"
  description = "Functions that mount the file system ${var.name}"
  vpc_id      = var.vpc.vpc_id
  tags        = var.options.tags

  # Lambda releases its network interfaces 20 to 45 minutes after the last function was deleted.
  timeouts {
    delete = "60m"
  }
}

resource "aws_security_group" "mount_target" {
  count = local.created

  name_prefix = "${var.name}-mount-targets-"
  description = "Mount targets of the file system ${var.name}"
  vpc_id      = var.vpc.vpc_id
  tags        = var.options.tags
}

resource "aws_vpc_security_group_ingress_rule" "nfs" {
  count = var.existing == null ? 1 : length(var.existing.security_group_ids)

  security_group_id            = local.mount_group_ids[count.index]
  description                  = "NFS from the functions"
  tags                         = local.rule_tags
  referenced_security_group_id = aws_security_group.function.id
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_vpc_security_group_egress_rule" "nfs" {
  count = var.existing == null ? 1 : length(var.existing.security_group_ids)

  security_group_id            = aws_security_group.function.id
  description                  = "NFS to the mount targets"
  tags                         = local.rule_tags
  referenced_security_group_id = local.mount_group_ids[count.index]
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

# To any address: S3 has no security group, and its address list is known only with a gateway.
resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.function.id
  description       = "HTTPS to S3"
  tags              = local.rule_tags
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# The gateway is free of charge. Without it, a private subnet does not reach S3.
resource "aws_vpc_endpoint" "s3" {
  count = length(var.vpc.route_table_ids) > 0 ? 1 : 0

  vpc_id            = var.vpc.vpc_id
  service_name      = data.aws_service.s3.reverse_dns_name
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.vpc.route_table_ids
  tags              = var.options.tags

  lifecycle {
    # It never changes, but is unknown while a `depends_on` of the caller has changes, which would replace the gateway.
    ignore_changes = [service_name]
  }
}
