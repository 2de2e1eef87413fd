# What a role needs that scores objects.

mock_provider "aws" {
  source = "./tests/mocks"
}

run "statements_have_the_prefixes_and_suffixes_and_no_more" {
  module {
    source = "./modules/object-access"
  }
  variables {
    name            = "Event"
    sources         = [{ bucket = "in", prefix = "a/", suffix = ".csv" }]
    outputs         = [{ bucket = "in", prefix = "b/" }]
    source_key_arns = []
    output_key_arns = []
  }

  assert {
    condition = [for statement in output.statements : { (statement.Sid) = statement.Resource }] == [
      { ReadEventSources = ["arn:aws:s3:::in/a/*.csv"] },
      { WriteEventOutputs = ["arn:aws:s3:::in/b/*"] },
      { ListEventBucket0 = "arn:aws:s3:::in" },
    ]
    error_message = "Statements: ${jsonencode(output.statements)}"
  }
  assert {
    condition     = output.statements[2].Condition.StringLike["s3:prefix"] == ["a/*", "b/*"]
    error_message = "Statements: ${jsonencode(output.statements)}"
  }
}
