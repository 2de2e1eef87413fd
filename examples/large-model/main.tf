# One model, `embed`, too large for a function's /tmp: its function reads it from a file system, in a VPC of its own.

module "inference" {
  source = "../../terraform"

  name     = var.name
  packages = var.packages
  python   = var.python

  models = {
    embed = {
      memory_mb   = 3008
      file_system = {}
      aliases     = { prod = {} }
    }
  }

  vpc = {
    vpc_id          = aws_vpc.models.id
    subnets         = { for key, subnet in aws_subnet.models : key => subnet.id }
    route_table_ids = [aws_route_table.models.id]
  }

  # Lets `terraform destroy` delete the models. Leave it out if you need them.
  registry = { force_destroy = true }
}
