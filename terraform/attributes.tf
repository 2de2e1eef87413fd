# The attributes of the inputs whose type is `any`, as paths; `*` stands for any name. modules/inputs has their types, and a
# test compares the two.

locals {
  attributes = {
    models = [
      "aliases", "aliases.*.provisioned_concurrency", "default_alias", "memory_mb", "timeout_seconds", "ephemeral_storage_mb",
      "reserved_concurrency", "snap_start", "allow_pickle", "file_system", "environment", "role", "role.arn", "network",
      "network.security_group_ids", "package", "package.path", "package.bucket", "package.key", "package.source_code_hash",
      "image_uri", "python", "architecture", "endpoint_name", "sagemaker", "sagemaker.image_uri", "sagemaker.instance_type",
      "sagemaker.instances", "sagemaker.instances.min", "sagemaker.instances.max", "sagemaker.instances.target",
      "sagemaker.serverless", "sagemaker.serverless.memory_mb", "sagemaker.serverless.max_concurrency", "sagemaker.keep_minutes",
      "sagemaker.startup_seconds", "sagemaker.kms_key_arn", "sagemaker.role", "sagemaker.role.arn", "events", "events.*.alias",
      "events.*.source", "events.*.source.bucket", "events.*.source.prefix", "events.*.source.suffix", "events.*.source.kms_key_arn", "events.*.source.format", "events.*.source.header", "events.*.output",
      "events.*.output.bucket", "events.*.output.prefix", "events.*.output.kms_key_arn", "events.*.output.format",
      "events.*.keep_columns", "events.*.on_bad_rows", "events.*.max_concurrency", "events.*.max_attempts", "events.*.max_age_minutes",
      "jobs", "jobs.keep_days", "jobs.max_concurrency", "jobs.topic_arn",
    ]
    registry = [
      "bucket", "region", "packages_bucket", "accounts", "prefix", "kms_key_arn", "previous_kms_key_arns", "force_destroy",
      "access_log", "access_log.bucket",
    ]
    vpc         = ["vpc_id", "subnets", "route_table_ids"]
    file_system = ["existing", "existing.access_point_arn", "existing.security_group_ids", "kms_key_arn", "stager_memory_mb"]
    api = [
      "authorization", "jwt", "jwt.issuer", "jwt.audience", "jwt.scopes", "cors", "cors.allow_origins", "cors.allow_headers",
      "cors.allow_credentials", "cors.max_age_seconds", "throttle", "throttle.requests_per_second", "throttle.burst", "domain",
      "domain.name", "domain.certificate_arn", "detailed_metrics",
    ]
    rest_api = [
      "authorization", "usage_plans", "usage_plans.*.requests_per_second", "usage_plans.*.burst", "usage_plans.*.quota",
      "usage_plans.*.quota.requests", "usage_plans.*.quota.period", "usage_plans.*.api_keys", "throttle",
      "throttle.requests_per_second", "throttle.burst", "timeout_seconds", "stage", "domain", "domain.name",
      "domain.certificate_arn", "waf", "waf.web_acl_arn", "access_log", "detailed_metrics",
    ]
    event_bucket     = ["kms_key_arn", "expire_days", "force_destroy"]
    image_repository = ["kms_key_arn", "keep_images", "force_destroy"]
    batch            = ["sources", "outputs", "models", "max_concurrency", "source_key_arns", "output_key_arns"]
    kms              = ["logs_key_arn", "environment_key_arn", "queue_key_arn"]
    control_roles = [
      "releaser", "releaser.arn", "stager", "stager.arn", "catalog", "catalog.arn", "planner", "planner.arn", "batch", "batch.arn",
    ]
  }

  # Attributes of a package in their order; alone it is a path.
  package_forms = ["path", "bucket,key,source_code_hash"]

  # Attributes of a model that are numbers, and that are true or false.
  numbers = ["memory_mb", "timeout_seconds", "ephemeral_storage_mb", "reserved_concurrency"]
  bools   = ["snap_start", "allow_pickle"]

  # Those of an event, of the jobs, and of the endpoints.
  event_numbers    = ["max_concurrency", "max_attempts", "max_age_minutes"]
  job_numbers      = ["keep_days", "max_concurrency"]
  endpoint_numbers = ["keep_minutes", "startup_seconds"]
  endpoint_parts = {
    instances  = ["min", "max", "target"]
    serverless = ["memory_mb", "max_concurrency"]
  }

  # What became of attributes of 0.1.
  renamed = {
    "registry.former_kms_key_arns" = "previous_kms_key_arns"
    "vpc.subnet_ids"               = "subnets, a map of the IDs by names of yours"
  }
}
