# The repository of container images: its tags, who pulls from it, and which images it keeps.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name = "acme"
}

run "tags_are_immutable_and_images_are_scanned" {
  module {
    source = "./modules/image-repository"
  }

  assert {
    condition     = aws_ecr_repository.images.image_tag_mutability == "IMMUTABLE" && aws_ecr_repository.images.image_scanning_configuration[0].scan_on_push && !aws_ecr_repository.images.force_delete
    error_message = "A tag could mean another image."
  }
  assert {
    condition     = length(aws_ecr_lifecycle_policy.images) == 0
    error_message = "An image that a function or an endpoint uses could be deleted."
  }
}

run "functions_of_the_stack_pull_and_nobody_else" {
  module {
    source = "./modules/image-repository"
  }

  assert {
    condition = jsondecode(aws_ecr_repository_policy.images.policy).Statement == [{
      Sid       = "PullForFunctions"
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Condition = { ArnLike = { "aws:SourceArn" = "arn:aws:lambda:eu-central-1:123456789012:function:acme-*" } }
    }]
    error_message = "Policy: ${aws_ecr_repository_policy.images.policy}"
  }
}

run "only_the_newest_images_may_be_kept" {
  module {
    source = "./modules/image-repository"
  }
  variables {
    keep_images = 20
    kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/1"
  }

  assert {
    condition     = jsondecode(aws_ecr_lifecycle_policy.images[0].policy).rules[0].selection == { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 20 }
    error_message = "Policy: ${aws_ecr_lifecycle_policy.images[0].policy}"
  }
  assert {
    condition     = aws_ecr_repository.images.encryption_configuration[0].encryption_type == "KMS"
    error_message = "The key is used."
  }
}

run "keeping_no_image_is_refused" {
  command = plan
  module {
    source = "./modules/image-repository"
  }
  variables {
    keep_images = 0
  }
  expect_failures = [var.keep_images]
}
