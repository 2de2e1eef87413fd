# A private repository for container images, which the functions of a stack, and SageMaker, may pull from.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Only for the region: no attribute of `aws_region` exists in both 5.x and 6.x of the provider without being deprecated in one.
data "aws_service" "ecr" {
  service_id = "ecr"
}

resource "aws_ecr_repository" "images" {
  # checkov:skip=CKV_AWS_136: Encrypted with S3's own key, unless the caller gives one.

  name                 = var.name
  image_tag_mutability = "IMMUTABLE" # functions and endpoints name images by digest; a tag always means the same one
  force_delete         = var.force_destroy
  tags                 = var.tags

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = var.kms_key_arn == null ? "AES256" : "KMS"
    kms_key         = var.kms_key_arn
  }
}

# Lambda pulls images itself, with the permission of the repository. SageMaker pulls with the role of the endpoint.
resource "aws_ecr_repository_policy" "images" {
  repository = aws_ecr_repository.images.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "PullForFunctions"
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Condition = {
        ArnLike = {
          "aws:SourceArn" = join(":", [
            "arn", data.aws_partition.current.partition, "lambda", data.aws_service.ecr.region, data.aws_caller_identity.current.account_id,
            "function", "${var.name}-*",
          ])
        }
      }
    }]
  })
}

resource "aws_ecr_lifecycle_policy" "images" {
  count = var.keep_images == null ? 0 : 1

  repository = aws_ecr_repository.images.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Keeps the newest images."
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.keep_images }
      action       = { type = "expire" }
    }]
  })
}
