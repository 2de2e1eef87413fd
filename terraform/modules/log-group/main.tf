# One log group of CloudWatch, and the only list of the retention periods that it offers.

resource "aws_cloudwatch_log_group" "logs" {
  # checkov:skip=CKV_AWS_338: How long logs are kept is the caller's choice, and its cost.

  name              = var.name
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}
