# Two private subnets without a route to the internet: the functions reach only the file system and S3.

data "aws_availability_zones" "available" {
  state = "available"
}

resource "aws_vpc" "models" {
  cidr_block           = "10.20.0.0/16"
  enable_dns_support   = true
  enable_dns_hostnames = true # Lambda finds the file system by its DNS name

  tags = {
    Name = var.name
  }
}

locals {
  # Names of the subnets, and the numbers of their address ranges and availability zones.
  subnets = { a = 0, b = 1 }
}

resource "aws_subnet" "models" {
  for_each = local.subnets

  vpc_id            = aws_vpc.models.id
  cidr_block        = cidrsubnet(aws_vpc.models.cidr_block, 8, each.value)
  availability_zone = data.aws_availability_zones.available.names[each.value]

  tags = {
    Name = "${var.name}-${each.value}"
  }

  # Lambda releases its network interfaces 20 to 45 minutes after the last function was deleted.
  timeouts {
    delete = "60m"
  }
}

resource "aws_route_table" "models" {
  vpc_id = aws_vpc.models.id

  tags = {
    Name = var.name
  }
}

resource "aws_route_table_association" "models" {
  for_each = local.subnets

  subnet_id      = aws_subnet.models[each.key].id
  route_table_id = aws_route_table.models.id
}
