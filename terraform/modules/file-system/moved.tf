# Addresses of 0.1, where mount targets were numbered in the order of the sorted subnet IDs: with the keys "0", "1", ...
# Terraform keeps them. Other keys need a `moved` block in the root module.

moved {
  from = aws_efs_mount_target.models[0]
  to   = aws_efs_mount_target.models["0"]
}

moved {
  from = aws_efs_mount_target.models[1]
  to   = aws_efs_mount_target.models["1"]
}

moved {
  from = aws_efs_mount_target.models[2]
  to   = aws_efs_mount_target.models["2"]
}

moved {
  from = aws_efs_mount_target.models[3]
  to   = aws_efs_mount_target.models["3"]
}

moved {
  from = aws_efs_mount_target.models[4]
  to   = aws_efs_mount_target.models["4"]
}

moved {
  from = aws_efs_mount_target.models[5]
  to   = aws_efs_mount_target.models["5"]
}

# The stager's role may be given since 0.3, so its policy is counted.
moved {
  from = aws_iam_role_policy.report
  to   = aws_iam_role_policy.report[0]
}
