# Batch runs: a state machine that scores many parts of objects at the same time, and the planner, a function that cuts the
# parts before and counts them after.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "s3" {
  service_id = "s3"
}

locals {
  partition  = data.aws_partition.current.partition
  place      = "${data.aws_service.s3.region}:${data.aws_caller_identity.current.account_id}"
  bucket_arn = "arn:${local.partition}:s3:::"

  name = "${var.name}_batch"

  # Built from the names, so that the definition and the policies are known at plan.
  releaser_arn      = "arn:${local.partition}:lambda:${local.place}:function:${var.releaser_name}"
  planner_arn       = "arn:${local.partition}:lambda:${local.place}:function:${var.name}_planner"
  state_machine_arn = "arn:${local.partition}:states:${local.place}:stateMachine:${local.name}"
  executions_arn    = "arn:${local.partition}:states:${local.place}:execution:${local.name}"
  map_runs_arn      = "arn:${local.partition}:states:${local.place}:mapRun:${local.name}"
  function_arns     = [for name in var.function_names : "arn:${local.partition}:lambda:${local.place}:function:${name}"]
  deployments       = [for name in var.function_names : "${data.aws_caller_identity.current.account_id}-${data.aws_service.s3.region}-${name}-????????"]

  # A prefix has nothing in it that has a meaning in patterns.
  uri     = "^s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/|$)(?P<prefix>[^*?$<>\\x22\\x5c\\x00-\\x1f]{0,512})$"
  sources = [for uri in var.sources : regex(local.uri, uri)]
  outputs = [for uri in var.outputs : regex(local.uri, uri)]
}

module "lambda" {
  source = "../lambda"

  name             = "${var.name}_planner"
  description      = "Cuts the objects of a batch run into parts, and counts what became of them."
  handler          = "shearling_runtime.control.planner.handler"
  package          = var.package
  python           = var.python
  architecture     = var.architecture
  memory_mb        = 1769 # one processor: it reads every byte of a CSV that it cuts
  timeout_seconds  = 900
  environment      = { SHEARLING_RELEASER = var.releaser_name, SHEARLING_BATCH_CONCURRENCY = tostring(var.max_concurrency) }
  registry         = var.registry
  registry_folders = concat(["models", "deployments"], [for deployment in local.deployments : "releases/${deployment}/_runs"])
  policy_name      = "planner"

  policy_statements        = local.planner_statements
  log_retention_days       = var.log_retention_days
  permissions_boundary_arn = var.permissions_boundary_arn
  role                     = var.planner_role
  options                  = var.options
}

# Step Functions delivers its logs by a policy of the account, which has room for groups below this name only.
module "log_group" {
  source = "../log-group"

  name           = "/aws/vendedlogs/states/${local.name}"
  retention_days = var.log_retention_days
  kms_key_arn    = var.options.logs_key_arn
  tags           = var.options.tags
}

resource "aws_sfn_state_machine" "batch" {
  # checkov:skip=CKV_AWS_285: Its history is logged from `log_level` on, and without the data of a run.

  name       = local.name
  role_arn   = local.role_arn
  type       = "STANDARD"
  definition = jsonencode(local.definition)
  tags       = var.options.tags

  # What a state reads and writes is in the run's folder already.
  logging_configuration {
    log_destination        = "${module.log_group.arn}:*"
    level                  = var.options.log_level == "DEBUG" ? "ALL" : "ERROR"
    include_execution_data = false
  }

  tracing_configuration {
    enabled = var.options.tracing == "Active"
  }

  # Step Functions tries the role's right to deliver logs when it creates the state machine.
  depends_on = [aws_iam_role_policy.batch]
}

resource "aws_cloudwatch_metric_alarm" "failed" {
  alarm_name          = "${local.name}-failed"
  alarm_description   = "A batch run failed. Read why with `shearling batch list` and `shearling batch status`; `shearling batch redrive` repeats what failed."
  namespace           = "AWS/States"
  metric_name         = "ExecutionsFailed"
  dimensions          = { StateMachineArn = local.state_machine_arn }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = compact([var.alarm_topic_arn])
  ok_actions          = compact([var.alarm_topic_arn])
  tags                = var.options.tags
}
