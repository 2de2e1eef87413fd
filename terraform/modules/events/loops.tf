# Events whose outputs arrive at their own sources, directly or through other events.

locals {
  # Pictures become lines of JSON unless another format is named.
  pictures = {
    for key, event in var.events : key => (
      event.source.format == "image" || anytrue([for suffix in [".jpg", ".jpeg", ".png", ".webp"] : endswith(lower(event.source.suffix), suffix)])
    )
  }

  # What an output's key may end with: a suffix of its format, in the case of the source's, else the suffix of the source.
  suffixes = {
    for key, event in var.events : key => (
      event.output.format == null ? [local.pictures[key] ? ".jsonl" : lower(event.source.suffix)] : event.output.format == "jsonl" ? [".jsonl", ".ndjson"] : [".${event.output.format}"]
    )
  }

  # The events whose source takes the outputs of each event. A prefix or suffix that continues the other may be the same key.
  next = {
    for key, event in var.events : key => [
      for other, target in var.events : other
      if event.output.bucket == target.source.bucket
      && (startswith(event.output.prefix, target.source.prefix) || startswith(target.source.prefix, event.output.prefix))
      && anytrue([
        for suffix in local.suffixes[key] : endswith(suffix, lower(target.source.suffix)) || endswith(lower(target.source.suffix), suffix)
      ])
    ]
  }

  # Each step doubles the length of the chains that are followed: 16 events are the longest.
  next_2  = { for key, found in local.next : key => distinct(concat(found, flatten([for other in found : local.next[other]]))) }
  next_4  = { for key, found in local.next_2 : key => distinct(concat(found, flatten([for other in found : local.next_2[other]]))) }
  next_8  = { for key, found in local.next_4 : key => distinct(concat(found, flatten([for other in found : local.next_4[other]]))) }
  next_16 = { for key, found in local.next_8 : key => distinct(concat(found, flatten([for other in found : local.next_8[other]]))) }

  # The next events on the way back to each event; empty if there is none.
  loops = {
    for key, found in local.next : key => [for other in found : other if other == key || contains(local.next_16[other], key)]
  }
}
