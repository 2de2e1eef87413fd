# One model, `cancer`, served by two aliases: try a version at `staging`, then promote it to `prod`.

module "inference" {
  source = "../../terraform"

  name               = var.name
  packages           = var.packages
  python             = var.python
  unsupported_python = var.unsupported_python

  models = {
    cancer = {
      memory_mb     = 1024
      aliases       = { prod = {}, staging = {} }
      default_alias = "prod"
    }
  }

  # For an example that leaves nothing behind. Leave it out where models matter.
  registry = { force_destroy = true }

  api = { authorization = var.authorization }
}
