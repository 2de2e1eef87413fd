output "url" {
  value       = aws_ecr_repository.images.repository_url
  description = "The repository, for `shearling package image --push`."
}
