"""What one version of a Lambda function is: its code, its configuration and the model it pins."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shearling.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The variable of a function's environment that pins the model it serves.
PIN_VARIABLE = "SHEARLING_MODEL"

#: What differs between a function and its published versions, or changes by itself: not something
#: that anyone configured. Whatever is not named here counts, so a setting that Lambda learns
#: tomorrow makes a new version.
_VOLATILE = frozenset(
    {
        "CodeSha256",  # compared by itself
        "CodeSize",
        "ConfigSha256",
        "Description",
        "Environment",  # compared without the pin
        "FunctionArn",
        "FunctionName",
        "LastModified",
        "LastUpdateStatus",
        "LastUpdateStatusReason",
        "LastUpdateStatusReasonCode",
        "MasterArn",
        "ResponseMetadata",
        "RevisionId",
        "RuntimeVersionConfig",  # AWS patches runtimes by itself, and lists leave it out
        "State",
        "StateReason",
        "StateReasonCode",
        "Version",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionConfiguration:
    """A function or one of its published versions, as Lambda describes it.

    Attributes:
        number: of the published version, or `$LATEST`.
        variables: its environment; None if it could not be read.
        unreadable: why the environment could not be read.
        sha256: of all that someone configured, but for code and pin.
        state: as it says, with the reason: ("Failed", "the subnet is gone").
        update: the same of the last update.
        ephemeral_storage_mb: of /tmp.
        is_mounted: whether a file system is mounted.
    """

    number: str
    revision: str
    code_sha256: str
    variables: Mapping[str, str] | None
    unreadable: str
    sha256: str
    state: tuple[str, str]
    update: tuple[str, str]
    memory_mb: int
    timeout_seconds: int
    ephemeral_storage_mb: int
    is_mounted: bool
    modified: datetime | None

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> FunctionConfiguration:
        """Read the answer of GetFunctionConfiguration, or an item of a list of versions."""
        environment = answer.get("Environment", {})
        error = environment.get("Error")
        variables = None if error else dict(environment.get("Variables", {}))
        return cls(
            number=answer["Version"],
            revision=answer.get("RevisionId", ""),
            code_sha256=answer.get("CodeSha256", ""),
            variables=variables,
            unreadable=f"{error.get('ErrorCode')}: {error.get('Message')}" if error else "",
            sha256=_sha256(answer, variables),
            state=(answer.get("State", "Active"), answer.get("StateReason", "")),
            update=(
                answer.get("LastUpdateStatus", "Successful"),
                answer.get("LastUpdateStatusReason", ""),
            ),
            memory_mb=answer.get("MemorySize", 0),
            timeout_seconds=answer.get("Timeout", 0),
            ephemeral_storage_mb=answer.get("EphemeralStorage", {}).get("Size", 512),
            is_mounted=bool(answer.get("FileSystemConfigs")),
            modified=_time(answer.get("LastModified", "")),
        )

    @property
    def pin(self) -> str:
        """The model it serves, as `fraud:7@sha256:...`; empty if none."""
        return (self.variables or {}).get(PIN_VARIABLE, "")

    def is_like(self, other: FunctionConfiguration) -> bool:
        """Say whether code and configuration are the same, whatever model is served."""
        return (
            self.variables is not None
            and self.code_sha256 == other.code_sha256
            and self.sha256 == other.sha256
        )

    def environment_with(self, pin: str) -> dict[str, str]:
        """Return the variables with another pin, or with none if it is empty.

        Raises:
            ReleaseError: the variables could not be read: writing them back would erase them.
        """
        if self.variables is None:
            raise ReleaseError(
                f"the function's variables cannot be read ({self.unreadable}), so the model's pin "
                "cannot be added to them: the releaser's role needs kms:Decrypt on the function's "
                "key"
            )
        kept = {name: value for name, value in self.variables.items() if name != PIN_VARIABLE}
        return {**kept, PIN_VARIABLE: pin} if pin else kept


def _sha256(answer: Mapping[str, Any], variables: Mapping[str, str] | None) -> str:
    if variables is None:
        return ""
    settings = {key: value for key, value in answer.items() if key not in _VOLATILE}
    # `$LATEST` is never optimised, a version is: only what was asked for is configuration.
    settings["SnapStart"] = settings.get("SnapStart", {}).get("ApplyOn", "None")
    settings["Environment"] = {k: v for k, v in variables.items() if k != PIN_VARIABLE}
    # An absent setting is sometimes left out and sometimes shown empty.
    told = {key: value for key, value in settings.items() if value not in (None, "", [], {})}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
