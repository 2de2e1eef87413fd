"""What the records of a registry say: versions, alias entries, deployments and releases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shearling.refs import Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The record of one version: its pin, and what was measured when it was pushed.

    Attributes:
        details: what the pusher recorded: size, load time, who, git commit.
    """

    pin: Pin
    created: datetime
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """What a publish did.

    Attributes:
        is_new: False if the registry had the very same bundle already.
        sent_bytes: how much was uploaded; 0 also for a version whose files were all there.
    """

    version: Version
    is_new: bool
    sent_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasEntry:
    """One entry in the log of an alias.

    Attributes:
        number: its place in the log; the highest is current.
        canary: the share of requests that another version gets: `{"version": 8, "percent": 10}`.
    """

    number: int
    model: str
    alias: str
    version: int
    created: datetime
    canary: Mapping[str, int] | None = None
    reason: str = ""

    @property
    def named(self) -> str:
        """The versions that it names, for a table."""
        return named_versions(self.version, self.canary)


def named_versions(version: int | None, canary: Mapping[str, int] | None) -> str:
    """Return what an alias names, for a table: `7`, `7 (10 %: 8)` with a canary, or `-`."""
    share = f" ({canary['percent']} %: {canary['version']})" if canary else ""
    return f"{'-' if version is None else version}{share}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A function that serves a model; written by Terraform.

    Attributes:
        key: `<account>-<region>-<function>-<id>`, its name among all deployments of the registry;
            the id is another one if the function was destroyed and made anew.
        releaser: the function that moves its aliases.
        stager: the function that copies bundles onto its file system; empty without one.
        file_system: ARN of the access point that it mounts; empty without one.
    """

    key: str
    model: str
    function: str
    aliases: tuple[str, ...]
    region: str
    account: str
    releaser: str
    runtime: str = ""
    api_url: str | None = None
    stager: str = ""
    file_system: str = ""


#: What became of an alias entry on one function.
RELEASED, STAGING, FAILED = "released", "staging", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What became of an alias entry on one function; written by the releaser alone.

    Attributes:
        number: its place in the log of the function's alias.
        entry: number of the alias entry that it is about.
        outcome: "released", "failed", or "staging" while its bundle is brought to a file system.
        version: the model version that the entry names.
        lambda_version: what the Lambda alias serves now.
        configuration: hash of the function's configuration that it is about; empty if the outcome
            does not depend on it.
        timings: seconds of each step.
    """

    number: int
    entry: int
    outcome: str
    created: datetime
    version: int
    reason: str = ""
    lambda_version: str = ""
    code_sha256: str = ""
    configuration: str = ""
    timings: Mapping[str, str] = field(default_factory=dict)
