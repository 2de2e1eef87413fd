output "models" {
  value       = var.models
  description = "The input `models` with its defaults."
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
