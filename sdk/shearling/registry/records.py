"""The records of a registry: versions, alias entries, deployments and releases."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shearling.refs import Pin
    from shearling.registry.endpoint_settings import EndpointSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The record of one model version.

    Attributes:
        pin: model, version number and digest of the manifest.
        created: time of the push.
        details: facts recorded at push, such as size, load time, user and git commit.
    """

    pin: Pin
    created: datetime
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """The result of publishing a bundle.

    Attributes:
        version: the new version, or the existing version with the same bundle.
        is_new: False if the registry already had a version with the same bundle.
        sent_bytes: number of bytes uploaded; 0 if all files were in the registry before.
    """

    version: Version
    is_new: bool
    sent_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasEntry:
    """One entry in the log of an alias.

    Attributes:
        number: number of the entry in the log; the highest is current.
        model: name of the model.
        alias: name of the alias.
        version: model version that the alias names; None ends the alias.
        created: time of the entry.
        canary: version and share of the requests that it gets, as in
            `{"version": 8, "percent": 10}`; None without a canary.
        reason: reason that the user gave; may be empty.
        by: who set the alias; empty if unknown.
        before: number of the entry that a rollback returns to; 0 if there is none, and None for an
            entry of a version that did not record it.
        force: whether a version that was released before is released again without a check.
        rolled_back: versions that the alias was rolled back from and that it was not set to since;
            None for an entry of a version that did not record them.
    """

    number: int
    model: str
    alias: str
    version: int | None
    created: datetime
    canary: Mapping[str, int] | None = None
    reason: str = ""
    by: str = ""
    before: int | None = None
    force: bool = False
    rolled_back: tuple[int, ...] | None = None

    @property
    def versions(self) -> tuple[int, ...]:
        """The version that the entry names, and that of its canary."""
        canary = self.canary["version"] if self.canary else None
        return tuple(number for number in (self.version, canary) if number is not None)

    @property
    def named(self) -> str:
        """The versions that the entry names, formatted for a table."""
        return named_versions(self.version, self.canary)


def named_versions(version: int | None, canary: Mapping[str, int] | None) -> str:
    """Format the versions of an alias for a table: `7`, `7 (10 %: 8)` with a canary, or `-`."""
    share = f" ({canary['percent']} %: {canary['version']})" if canary else ""
    return f"{'-' if version is None else version}{share}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A function that serves a model; Terraform writes the record.

    Attributes:
        key: `<account>-<region>-<function>-<id>`, unique among the deployments of the registry. A
            recreated function has a new id.
        model: name of the model.
        function: name of the function.
        aliases: aliases that the function serves.
        region: AWS region of the function.
        account: AWS account of the function.
        releaser: name of the function that moves the aliases.
        runtime: Lambda runtime of the function, as in `python3.13`; empty if unknown.
        api_url: URL of the API in front of the function; None without one.
        stager: name of the function that copies bundles to the file system; empty without one.
        file_system: ARN of the access point that the function mounts; empty without one.
        events: names of the events that score objects with the function.
        sagemaker: what the endpoints behind the function are like; None if it has none.
        batch: ARN of the state machine that scores many objects with the function; empty without.
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
    events: tuple[str, ...] = ()
    sagemaker: EndpointSettings | None = None
    batch: str = ""


#: Outcomes of a release.
RELEASED, STAGING, FAILED = "released", "staging", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The outcome of an alias entry on one function; the releaser writes the record.

    Attributes:
        number: number of the release in the log of the function's alias.
        entry: number of the alias entry.
        outcome: "released", "failed", or "staging" while the bundle is copied to the file system.
        created: time of the record.
        version: model version that the entry names; None if the entry ends the alias.
        reason: cause of a failure; empty otherwise.
        lambda_version: Lambda version that the Lambda alias serves.
        code_sha256: hash of the function's code.
        configuration: hash of the function's configuration; empty if the outcome does not depend
            on it.
        timings: seconds of each step, by name of the step.
        wrong: Lambda versions that failed their last check for this alias; None in records of
            earlier releasers.
        success: number of the newest successful release before this one; 0 if there is none, and
            None for a record of a version that did not record it.
    """

    number: int
    entry: int
    outcome: str
    created: datetime
    version: int | None
    reason: str = ""
    lambda_version: str = ""
    code_sha256: str = ""
    configuration: str = ""
    timings: Mapping[str, str] = field(default_factory=dict)
    wrong: tuple[str, ...] | None = None
    success: int | None = None
