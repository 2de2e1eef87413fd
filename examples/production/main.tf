# Three models as a team runs them: one with provisioned concurrency, one too large for /tmp, and a pickle whose code reaches
# nothing but S3. Each environment is a state of its own, with the values in environments/<environment>.tfvars.

module "inference" {
  source = "../../terraform"

  name     = "acme-${var.environment}"
  packages = var.packages

  models = {
    fraud = {
      memory_mb            = 2048
      reserved_concurrency = var.fraud.reserved_concurrency
      aliases              = { live = { provisioned_concurrency = var.fraud.provisioned_concurrency }, next = {} }
      default_alias        = "live"
    }

    embed = {
      memory_mb   = 3008
      file_system = {}
      aliases     = { live = {} }
    }

    ranker = {
      allow_pickle = true
      network      = {} # the code in the pickle reaches S3 and nothing else
      package      = var.ranker_package
      aliases      = { live = {} }
    }
  }

  registry = {
    bucket      = var.bucket
    prefix      = var.environment
    kms_key_arn = var.kms_key_arn
  }

  vpc = {
    vpc_id          = var.vpc_id
    subnets         = { for subnet in data.aws_subnet.models : subnet.availability_zone => subnet.id }
    route_table_ids = data.aws_route_tables.models.ids
  }

  file_system = { kms_key_arn = var.kms_key_arn }

  api = {
    authorization = "JWT"
    jwt           = var.jwt
    domain        = var.domain
  }

  alarm_topic_arn          = var.alarm_topic_arn
  log_retention_days       = 90
  log_level                = "INFO"
  tracing                  = "Active"
  kms                      = { logs_key_arn = var.kms_key_arn, environment_key_arn = var.kms_key_arn, queue_key_arn = var.kms_key_arn }
  role_name_prefix         = "ml-"
  permissions_boundary_arn = var.permissions_boundary_arn
  tags                     = { environment = var.environment, team = "fraud" }
}
