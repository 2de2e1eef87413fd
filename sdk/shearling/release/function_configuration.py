"""The code, configuration and pinned model of one version of a Lambda function."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from shearling.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The environment variable of a function that pins the model it serves.
PIN_VARIABLE = "SHEARLING_MODEL"

#: The environment variable of a function whose model is served by an endpoint, with its name.
_ENDPOINT_VARIABLE = "SHEARLING_ENDPOINT"

#: The same, for an endpoint that the releaser made for the pinned model.
STAGED_ENDPOINT_VARIABLE = "SHEARLING_STAGED_ENDPOINT"

#: What the releaser sets; everything else is the configuration by Terraform.
_RELEASED_VARIABLES = frozenset({PIN_VARIABLE, STAGED_ENDPOINT_VARIABLE})

#: Fields that nobody configures: they differ between a function and its published versions, or
#: change on their own. All other fields count, so a setting that Lambda adds in the future makes a
#: new version.
_VOLATILE = frozenset(
    {
        "CodeSha256",  # compared separately
        "CodeSize",
        "ConfigSha256",
        "Description",
        "Environment",  # compared without what the releaser sets
        "FunctionArn",
        "FunctionName",
        "LastModified",
        "LastUpdateStatus",
        "LastUpdateStatusReason",
        "LastUpdateStatusReasonCode",
        "MasterArn",
        "ResponseMetadata",
        "RevisionId",
        "RuntimeVersionConfig",  # AWS patches runtimes on its own, and lists omit it
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
        number: number of the published version, or `$LATEST`.
        revision: revision id, which conditional updates require.
        code_sha256: SHA-256 of the code package, as Lambda reports it.
        variables: environment variables; None if they could not be read.
        unreadable: why the environment variables could not be read.
        sha256: SHA-256 of all that someone configured, except the code and what was released.
        state: state and its reason, such as ("Failed", "the subnet is gone").
        update: state of the last update and its reason.
        memory_mb: memory in MB.
        timeout_seconds: timeout of an invocation in seconds.
        ephemeral_storage_mb: size of /tmp in MB.
        is_mounted: whether a file system is mounted.
        modified: when the version was published or last changed; None if unknown.
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
        """Read a response of GetFunctionConfiguration, or an item of ListVersionsByFunction."""
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
        """The pinned model, such as `fraud:7@sha256:...`; empty if there is none."""
        return (self.variables or {}).get(PIN_VARIABLE, "")

    @property
    def is_proxy(self) -> bool:
        """Whether an endpoint of others serves the model, and the function loads none."""
        return bool((self.variables or {}).get(_ENDPOINT_VARIABLE))

    @property
    def endpoint(self) -> str:
        """Name of the endpoint that the releaser made for the pinned model; empty without one."""
        return (self.variables or {}).get(STAGED_ENDPOINT_VARIABLE, "")

    def is_like(self, other: FunctionConfiguration) -> bool:
        """Return whether code and configuration are equal, regardless of the released model."""
        return (
            self.variables is not None
            and self.code_sha256 == other.code_sha256
            and self.sha256 == other.sha256
        )

    def environment_with(self, pin: str, endpoint: str = "") -> dict[str, str]:
        """Return the environment variables with another pin and endpoint; empty for none.

        Raises:
            ReleaseError: the variables could not be read, so writing them back would erase them.
        """
        if self.variables is None:
            raise ReleaseError(
                f"the function's environment variables cannot be read ({self.unreadable}), so the "
                "model's pin cannot be added to them: allow the releaser's role kms:Decrypt on the "
                "function's key"
            )
        given = {PIN_VARIABLE: pin, STAGED_ENDPOINT_VARIABLE: endpoint}
        released = {name: value for name, value in given.items() if value}
        return _configured(self.variables) | released


def _configured(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that Terraform sets."""
    return {key: value for key, value in variables.items() if key not in _RELEASED_VARIABLES}


def _sha256(answer: Mapping[str, Any], variables: Mapping[str, str] | None) -> str:
    if variables is None:
        return ""
    settings = {key: value for key, value in answer.items() if key not in _VOLATILE}
    # Only versions report that they are optimised for SnapStart; compare the setting alone.
    settings["SnapStart"] = settings.get("SnapStart", {}).get("ApplyOn", "None")
    settings["Environment"] = _configured(variables)
    # Lambda sometimes omits an absent setting and sometimes returns it empty.
    present = {key: value for key, value in settings.items() if value not in (None, "", [], {})}
    return hashlib.sha256(json.dumps(present, sort_keys=True, default=str).encode()).hexdigest()


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
