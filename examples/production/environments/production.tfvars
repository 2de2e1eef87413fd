environment     = "production"
bucket          = "acme-models-production"
kms_key_arn     = "arn:aws:kms:eu-central-1:222222222222:key/11111111-2222-3333-4444-555555555555"
vpc_id          = "vpc-1a2b3c4d"
fraud           = { provisioned_concurrency = 2, reserved_concurrency = 50 }
alarm_topic_arn = "arn:aws:sns:eu-central-1:222222222222:ml-alarms"
jwt             = { issuer = "https://login.example.com", audience = ["models"], scopes = ["models/infer"] }
domain = {
  name            = "models.example.com"
  certificate_arn = "arn:aws:acm:eu-central-1:222222222222:certificate/11111111-2222-3333-4444-555555555555"
}
