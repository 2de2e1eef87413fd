# A stack with everything: two models, one of them on a file system, both APIs with domains, a usage plan, a registry with
# a key and a previous key. Each test changes one of the variables.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = "eu-central-1"
}

variable "packages" { type = any }

variable "subnets" {
  type    = map(number)
  default = { b = 1, c = 2 }
}

variable "models" {
  type = any
  default = {
    fraud = {
      aliases       = { prod = { provisioned_concurrency = 1 }, staging = {} }
      default_alias = "prod"
    }
    embed = { file_system = {}, aliases = { prod = {} } }
  }
}

variable "registry" {
  type = any
  default = {
    kms_key_arn           = "arn:aws:kms:eu-central-1:000000000000:key/11111111-2222-3333-4444-555555555555"
    previous_kms_key_arns = ["arn:aws:kms:eu-central-1:000000000000:key/66666666-2222-3333-4444-555555555555"]
  }
}

variable "file_system" {
  type    = any
  default = {}
}

variable "api" {
  type    = any
  default = { domain = { name = "http.example.com", certificate_arn = "arn:aws:acm:eu-central-1:000000000000:certificate/1" } }
}

variable "rest_api" {
  type = any
  default = {
    domain      = { name = "rest.example.com", certificate_arn = "arn:aws:acm:eu-central-1:000000000000:certificate/1" }
    usage_plans = { gold = { requests_per_second = 5, burst = 5, api_keys = ["checkout"] } }
  }
}

variable "python" {
  type    = string
  default = "3.13"
}

resource "aws_vpc" "models" {
  cidr_block = "10.20.0.0/16"
}

resource "aws_subnet" "models" {
  for_each = { a = 0, b = 1, c = 2 }

  vpc_id            = aws_vpc.models.id
  cidr_block        = cidrsubnet(aws_vpc.models.cidr_block, 8, each.value)
  availability_zone = "eu-central-1${each.key}"
}

resource "aws_route_table" "models" {
  vpc_id = aws_vpc.models.id
}

module "inference" {
  source = "./terraform"

  name        = "acme"
  packages    = var.packages
  python      = var.python
  models      = var.models
  registry    = var.registry
  file_system = var.file_system
  api         = var.api
  rest_api    = var.rest_api

  vpc = {
    vpc_id          = aws_vpc.models.id
    subnets         = { for name, index in var.subnets : name => aws_subnet.models[name].id }
    route_table_ids = [aws_route_table.models.id]
  }
}
