"""Why a release is attempted, which decides what is tried again and what is recorded."""

from __future__ import annotations

from enum import Enum


class Trigger(Enum):
    """Why a release is attempted."""

    #: A person requested it, or the stager has copied the bundle.
    REQUEST = "request"
    #: A new alias entry, or an endpoint in another state. The event may arrive more than once.
    ENTRY = "entry"
    #: The schedule, or another alias's staging.
    SCHEDULE = "schedule"
    #: `terraform apply` changed the function. If the newest entry failed before, the version that
    #: the alias serves is released under the new code first.
    APPLY = "apply"

    @property
    def is_repeated(self) -> bool:
        """Whether it comes again without a change, so that a recorded failure is not tried again.

        A check that failed is run again only for another entry, code or configuration.
        """
        return self in (Trigger.ENTRY, Trigger.SCHEDULE)
