# Two models in a chain: `prepare` turns each file that arrives into features, and `score` scores what `prepare` wrote.

module "inference" {
  source = "../../terraform"

  name     = var.name
  packages = var.packages
  python   = var.python

  models = {
    prepare = {
      timeout_seconds = var.timeout_seconds
      aliases         = { prod = {} }

      events = {
        incoming = {
          source      = { prefix = "incoming/", suffix = ".csv" }
          output      = { prefix = "prepared/" }
          on_bad_rows = "skip" # to prepared/<name>.rejected.jsonl, and the other rows are prepared
        }
      }
    }

    score = {
      timeout_seconds = var.timeout_seconds
      aliases         = { prod = {} }

      events = {
        prepared = {
          source          = { prefix = "prepared/", suffix = ".csv" }
          output          = { prefix = "scored/" }
          max_concurrency = 10
          max_attempts    = var.max_attempts
        }
      }
    }
  }

  # Let `terraform destroy` delete the models and the files. Leave these out if you need them.
  registry     = { force_destroy = true }
  event_bucket = { expire_days = 30, force_destroy = true }
}
