output "bucket" {
  value       = aws_s3_bucket.objects.bucket
  description = "Name of the bucket."

  # Whoever uses the bucket finds an encrypted, private one that sends events.
  depends_on = [
    aws_s3_bucket_policy.objects,
    aws_s3_bucket_notification.objects,
    aws_s3_bucket_server_side_encryption_configuration.objects,
  ]
}
