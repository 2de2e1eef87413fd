variable "domain" {
  type = object({
    name            = string
    certificate_arn = string # in ACM, in the API's region
  })
  nullable    = false
  description = "The domain name and its certificate."

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?[.])+[a-z]{2,}$", var.domain.name))
    error_message = "domain.name must be a host name in lower case, as in models.example.com."
  }

  validation {
    condition     = try(split(":", var.domain.certificate_arn)[3] == data.aws_service.s3.region, false)
    error_message = "domain.certificate_arn must be a certificate in ACM in ${data.aws_service.s3.region}, the API's region: a regional domain accepts no other."
  }
}

variable "api_id" {
  type        = string
  nullable    = false
  description = "ID of the API that answers at the domain."
}

variable "stage" {
  type        = string
  nullable    = false
  description = "Name of the API's stage."
}

variable "tags" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Tags of the domain name."
}
