# Two private subnets without a way to the internet: the file system and S3 is all that the functions reach.

data "aws_availability_zones" "available" {
  state = "available"
}

resource "aws_vpc" "models" {
  cidr_block           = "10.20.0.0/16"
  enable_dns_support   = true
  enable_dns_hostnames = true # a file system is found by its name

  tags = {
    Name = var.name
  }
}

resource "aws_subnet" "models" {
  count = 2

  vpc_id            = aws_vpc.models.id
  cidr_block        = cidrsubnet(aws_vpc.models.cidr_block, 8, count.index)
  availability_zone = data.aws_availability_zones.available.names[count.index]

  tags = {
    Name = "${var.name}-${count.index}"
  }
}

resource "aws_route_table" "models" {
  vpc_id = aws_vpc.models.id

  tags = {
    Name = var.name
  }
}

resource "aws_route_table_association" "models" {
  count = 2

  subnet_id      = aws_subnet.models[count.index].id
  route_table_id = aws_route_table.models.id
}
