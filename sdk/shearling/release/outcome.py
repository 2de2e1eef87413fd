"""What became of one attempt to release an alias."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNCHANGED = "unchanged"

#: What to do about a failed release.
REMEDY = "roll back (shearling rollback), or push a version that passes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one attempt to release an alias.

    Attributes:
        outcome: "released", "unchanged" if all was in order already, "staging" if the bundle must
            be brought to the function's file system first, or "failed".
        version: the model version that the registry names; None if it names none yet.
        lambda_version: what the alias serves now; empty if that is not known.
        reason: why it failed.
        note: what a person has to know though it did not fail.
        timings: seconds of each step.
    """

    function: str
    alias: str
    outcome: str
    version: int | None = None
    lambda_version: str = ""
    reason: str = ""
    note: str = ""
    timings: Mapping[str, str] = field(default_factory=dict)
