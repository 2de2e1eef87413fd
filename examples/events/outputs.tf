output "registry_uri" {
  value       = module.inference.registry_uri
  description = "Set SHEARLING_REGISTRY to this to push models."
}

output "bucket" {
  value       = module.inference.event_bucket
  description = "Put files to `incoming/` in this bucket; `scored/` has the scores."
}

output "queues" {
  value       = module.inference.event_queues
  description = "Name of each event's queue."
}

output "redrive_policy" {
  value       = module.inference.redrive_policy
  description = "IAM policy (JSON) for running `shearling events`."
}
