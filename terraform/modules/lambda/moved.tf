# The role may be given since 0.3, so the one that this module creates is counted: Terraform keeps the objects.

moved {
  from = aws_iam_role.function
  to   = aws_iam_role.function[0]
}

moved {
  from = aws_iam_role_policy.function
  to   = aws_iam_role_policy.function[0]
}
