# One model, `cancer`, served by two aliases: try a version at `staging`, then promote it to `prod`.

module "inference" {
  source = "../../terraform"

  name     = var.name
  packages = var.packages
  python   = var.python

  models = merge(
    {
      cancer = {
        memory_mb     = 1024
        aliases       = { prod = {}, staging = {} }
        default_alias = "prod"
      }
    },
    var.models,
  )

  # Lets `terraform destroy` delete the models. Leave it out if you need them.
  registry = { force_destroy = true }

  api = { authorization = var.authorization }
}
