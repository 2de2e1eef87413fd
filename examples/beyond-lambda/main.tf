# A model that moves from its function to SageMaker endpoints: by one variable, and back.

module "inference" {
  source = "../../terraform"

  name     = var.name
  packages = var.packages
  python   = var.python

  # Where `shearling package image --push` sends the image.
  image_repository   = { force_destroy = true }
  endpoint_image_uri = var.image_uri

  models = {
    embed = {
      # Until there is an image, the function serves the model itself. Then it forwards requests.
      memory_mb       = var.image_uri == null ? 3008 : 512
      timeout_seconds = 65 # SageMaker answers within 60 s
      aliases         = { prod = {}, staging = {} }
      default_alias   = "prod"

      sagemaker = var.image_uri == null ? null : {
        instance_type = var.instance_type
        instances     = { min = 1, max = 4 }
        keep_minutes  = 30
      }
    }
  }

  # Lets `terraform destroy` delete the models. Leave it out if you need them.
  registry = { force_destroy = true }
}
