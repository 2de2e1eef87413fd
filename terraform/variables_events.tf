# The bucket of events that name none. The events themselves belong to the models.

variable "event_bucket" {
  type        = any
  default     = {}
  nullable    = false
  description = "The bucket that this module creates if the source or the output of an event names none."

  validation {
    condition     = can(keys(var.event_bucket))
    error_message = "event_bucket must be an object, as in { expire_days = 30 }. A bucket that exists belongs to an event, as source.bucket or output.bucket."
  }

  validation {
    condition     = length(setsubtract(try(keys(var.event_bucket), []), local.attributes.event_bucket)) == 0
    error_message = "event_bucket has no attribute ${join(", ", setsubtract(try(keys(var.event_bucket), []), local.attributes.event_bucket))}. The attributes are ${join(", ", local.attributes.event_bucket)}."
  }
}
