# The private subnets that the platform's VPC has, one in each availability zone.

data "aws_subnets" "private" {
  filter {
    name   = "vpc-id"
    values = [var.vpc_id]
  }

  tags = { tier = "private" }
}

data "aws_subnet" "private" {
  for_each = toset(data.aws_subnets.private.ids)

  id = each.key
}

data "aws_route_tables" "private" {
  vpc_id = var.vpc_id
  tags   = { tier = "private" }
}
