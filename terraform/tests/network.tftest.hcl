# How functions in a VPC reach S3, and those that must reach nothing else.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name     = "acme"
  vpc      = { vpc_id = "vpc-1", subnets = { a = "subnet-1" }, route_table_ids = ["rtb-1"] }
  registry = { bucket_arn = "arn:aws:s3:::acme-models" }
  s3_only  = true
}

run "group_reaches_s3_and_nothing_else" {
  module {
    source = "./modules/network"
  }

  assert {
    condition = (
      aws_vpc_security_group_egress_rule.s3[0].prefix_list_id == data.aws_ec2_managed_prefix_list.s3[0].id
      && aws_vpc_security_group_egress_rule.s3[0].security_group_id == output.security_group_id
      && aws_vpc_security_group_egress_rule.s3[0].from_port == 443 && aws_vpc_security_group_egress_rule.s3[0].to_port == 443
    )
    error_message = "Rule: ${jsonencode(aws_vpc_security_group_egress_rule.s3[0])}"
  }
}

run "gateway_admits_reads_of_the_registry_alone" {
  module {
    source = "./modules/network"
  }

  assert {
    condition     = [for s in jsondecode(aws_vpc_endpoint.s3[0].policy).Statement : s.Action] == [["s3:GetObject", "s3:ListBucket"]]
    error_message = "Policy: ${aws_vpc_endpoint.s3[0].policy}"
  }
}

run "without_such_functions_the_gateway_is_open_and_there_is_no_group" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    s3_only = false
  }

  assert {
    condition     = length(aws_security_group.s3_only) == 0 && length(aws_vpc_endpoint.s3) == 1 && output.security_group_id == null
    error_message = "Groups: ${length(aws_security_group.s3_only)}"
  }
}

run "without_route_tables_there_is_no_gateway" {
  command = plan
  module {
    source = "./modules/network"
  }
  variables {
    vpc = { vpc_id = "vpc-1", subnets = { a = "subnet-1" } }
  }

  assert {
    condition     = length(aws_vpc_endpoint.s3) == 0 && output.subnets == tomap({ a = "subnet-1" })
    error_message = "Subnets: ${jsonencode(output.subnets)}"
  }
}
