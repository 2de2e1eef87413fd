output "models" {
  value       = var.models
  description = "The input `models` with its defaults."
}

output "packages" {
  value       = var.packages
  description = "The input `packages` with its defaults."
}

output "registry" {
  value       = var.registry
  description = "The input `registry` with its defaults."
}

output "vpc" {
  value       = var.vpc
  description = "The input `vpc` with its defaults."
}

output "file_system" {
  value       = var.file_system
  description = "The input `file_system` with its defaults."
}

output "api" {
  value       = var.api
  description = "The input `api` with its defaults."
}

output "rest_api" {
  value       = var.rest_api
  description = "The input `rest_api` with its defaults."
}

output "kms" {
  value       = var.kms
  description = "The input `kms` with its defaults."
}

output "control_roles" {
  value       = var.control_roles
  description = "The input `control_roles` with its defaults."
}

output "event_bucket" {
  value       = var.event_bucket
  description = "The input `event_bucket` with its defaults."
}

output "image_repository" {
  value       = var.image_repository
  description = "The input `image_repository` with its defaults."
}

output "batch" {
  value       = var.batch
  description = "The input `batch` with its defaults."
}
