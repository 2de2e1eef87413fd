environment = "staging"
bucket      = "acme-models-staging"
kms_key_arn = "arn:aws:kms:eu-central-1:111111111111:key/11111111-2222-3333-4444-555555555555"
vpc_id      = "vpc-0a1b2c3d"
jwt         = { issuer = "https://login.example.com", audience = ["models-staging"] }
domain = {
  name            = "models.staging.example.com"
  certificate_arn = "arn:aws:acm:eu-central-1:111111111111:certificate/11111111-2222-3333-4444-555555555555"
}
