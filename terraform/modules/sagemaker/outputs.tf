output "endpoints" {
  value       = local.endpoints
  description = "What the releaser makes endpoints of, by model: the attribute `sagemaker` of its input `functions`."

  precondition {
    condition     = alltrue([for image in values(local.images) : image.account == local.account_id && image.region == local.region])
    error_message = "SageMaker takes images only from private repositories of its own account and region, here ${local.account_id} in ${local.region}. Push the image there with `shearling package image --push`, and change sagemaker.image_uri of ${join(", ", [for model, image in local.images : "${model} (${image.account} in ${image.region})" if image.account != local.account_id || image.region != local.region])}."
  }

  # An endpoint starts with the permissions that it needs.
  depends_on = [aws_iam_role_policy.endpoint]
}

output "role_arns" {
  value       = { for model, endpoint in local.endpoints : model => endpoint.role_arn }
  description = "ARN of the role of each model's containers."
}

output "role_policies" {
  value       = local.policies
  description = "What that role may do, by model: a policy (JSON) to attach to a role that you give."
}
