"""The result of one attempt to release an alias."""

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
    """The result of one attempt to release an alias.

    Attributes:
        function: name of the function.
        alias: name of the alias.
        outcome: "released", "unchanged" if the alias was already up to date, "staging" if the
            bundle must be copied to the function's file system first, or "failed".
        version: the model version that the registry names; None if it names none.
        lambda_version: the Lambda version that the alias serves now; empty if unknown.
        reason: why the release failed or is staging.
        note: a problem that needs attention although this attempt did not fail.
        timings: seconds of each step, as text.
        is_recorded: whether a release record has this failure. If not, another attempt may succeed.
        is_compared: whether the alias was compared with Lambda, and not only with the records.
    """

    function: str
    alias: str
    outcome: str
    version: int | None = None
    lambda_version: str = ""
    reason: str = ""
    note: str = ""
    timings: Mapping[str, str] = field(default_factory=dict)
    is_recorded: bool = False
    is_compared: bool = True
