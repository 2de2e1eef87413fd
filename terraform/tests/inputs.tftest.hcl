# The defaults of the composed module's inputs.

variables {
  models      = { fraud = { aliases = { prod = {} } } }
  registry    = {}
  vpc         = null
  file_system = {}
  api         = {}
  rest_api    = null

  packages      = { runtime = { path = "build/runtime.zip" }, control = { path = "build/control.zip" } }
  kms           = {}
  control_roles = {}
  event_bucket  = {}

  image_repository = null
  batch            = null
}

run "model_has_a_gigabyte_and_half_a_minute_by_default" {
  module {
    source = "./modules/inputs"
  }

  assert {
    condition = (
      output.models["fraud"].memory_mb == 1024 && output.models["fraud"].timeout_seconds == 30 && !output.models["fraud"].allow_pickle
      && output.models["fraud"].aliases["prod"].provisioned_concurrency == null
    )
    error_message = "Models: ${jsonencode(output.models)}"
  }
}

run "callers_of_an_api_sign_by_default" {
  module {
    source = "./modules/inputs"
  }

  assert {
    condition     = output.api.authorization == "AWS_IAM" && output.rest_api == null && output.registry.prefix == "" && !output.registry.force_destroy
    error_message = "APIs and registry: ${jsonencode([output.api, output.registry])}"
  }
}
