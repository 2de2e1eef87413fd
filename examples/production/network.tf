# The subnets of the VPC that are for models, one in each availability zone. Nothing else may use their route tables: the
# gateway to S3 that the module creates there admits only reads of the registry.

data "aws_subnets" "models" {
  filter {
    name   = "vpc-id"
    values = [var.vpc_id]
  }

  tags = { tier = "models" }
}

data "aws_subnet" "models" {
  for_each = toset(data.aws_subnets.models.ids)

  id = each.key
}

data "aws_route_tables" "models" {
  vpc_id = var.vpc_id
  tags   = { tier = "models" }
}
