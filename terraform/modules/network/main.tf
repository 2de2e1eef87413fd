# How functions in the VPC reach S3, and a security group for those that may reach nothing else.

data "aws_service" "s3" {
  service_id = "s3"
}

# The gateway is free of charge. Without it, a private subnet does not reach S3.
resource "aws_vpc_endpoint" "s3" {
  count = length(var.vpc.route_table_ids) > 0 ? 1 : 0

  vpc_id            = var.vpc.vpc_id
  service_name      = data.aws_service.s3.reverse_dns_name
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.vpc.route_table_ids
  tags              = var.tags

  # Code that reaches S3 could otherwise write what it was sent to a bucket of somebody else's, with keys of its own.
  policy = !var.s3_only ? null : jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "ReadRegistry"
        Effect    = "Allow"
        Principal = "*"
        Action    = ["s3:GetObject", "s3:ListBucket"]
        Resource  = [var.registry.bucket_arn, "${var.registry.bucket_arn}/*"]
      }],
      [for arn in var.written : {
        Sid       = "Write${substr(sha256(arn), 0, 8)}"
        Effect    = "Allow"
        Principal = "*"
        # Of these, the role of a function has what it needs, on the prefixes that it needs.
        Action = [
          "s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
        ]
        Resource = [arn, "${arn}/*"]
      }],
    )
  })

  lifecycle {
    # It never changes, but is unknown while a `depends_on` of the caller has changes, which would replace the gateway.
    ignore_changes = [service_name]
  }
}

# The addresses of S3 in this region, which AWS keeps up to date.
data "aws_ec2_managed_prefix_list" "s3" {
  count = var.s3_only ? 1 : 0

  name = data.aws_service.s3.reverse_dns_name
}

resource "aws_security_group" "s3_only" {
  # checkov:skip=CKV2_AWS_5: The functions that have it are in other modules.

  count = var.s3_only ? 1 : 0

  name_prefix = "${var.name}-s3-only-"
  description = "Functions of ${var.name} that reach S3 and nothing else"
  vpc_id      = var.vpc.vpc_id
  tags        = var.tags

  # Lambda releases its network interfaces 20 to 45 minutes after the last function was deleted.
  timeouts {
    delete = "60m"
  }
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  count = var.s3_only ? 1 : 0

  security_group_id = aws_security_group.s3_only[0].id
  description       = "HTTPS to S3"
  tags              = var.tags
  prefix_list_id    = data.aws_ec2_managed_prefix_list.s3[0].id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
