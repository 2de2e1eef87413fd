variable "name" {
  type        = string
  nullable    = false
  description = "Part of the Sid of each statement, as in `Event`."
}

variable "sources" {
  type = list(object({
    bucket = string
    prefix = string
    suffix = optional(string, "")
  }))
  nullable    = false
  description = "Which objects the function reads."
}

variable "outputs" {
  type = list(object({
    bucket = string
    prefix = string
  }))
  nullable    = false
  description = "Where it writes."
}

variable "source_key_arns" {
  type        = list(string)
  nullable    = false
  description = "Keys of the sources."
}

variable "output_key_arns" {
  type        = list(string)
  nullable    = false
  description = "Keys of the outputs."
}
