"""Why a release is attempted, which decides what is tried again and what is recorded."""

from __future__ import annotations

from enum import Enum


class Trigger(Enum):
    """Why a release is attempted."""

    #: A person or a new alias entry requested it.
    REQUEST = "request"
    #: The schedule, or another alias's staging. A check that failed for the same entry, code and
    #: configuration is not run again.
    SCHEDULE = "schedule"
    #: `terraform apply` changed the function. If the newest entry failed before, the version that
    #: the alias serves is released under the new code first.
    APPLY = "apply"
