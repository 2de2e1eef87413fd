# One model, `embed`, too large for a function's /tmp: it is read from a file system, in a VPC of its own.

module "inference" {
  source = "../../terraform"

  name               = var.name
  packages           = var.packages
  python             = var.python
  unsupported_python = var.unsupported_python

  models = {
    embed = {
      memory_mb   = 3008
      file_system = {}
      aliases     = { prod = {} }
    }
  }

  network = {
    vpc_id          = aws_vpc.models.id
    subnet_ids      = aws_subnet.models[*].id
    route_table_ids = [aws_route_table.models.id]
  }

  # For an example that leaves nothing behind. Leave it out where models matter.
  registry = { force_destroy = true }
}
