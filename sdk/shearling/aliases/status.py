"""Show for each alias the registry's version, the version that each function serves, and why."""

from __future__ import annotations

from dataclasses import dataclass, fields
from html import escape
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from shearling.registry.records import named_versions
from shearling.registry.registry import Registry
from shearling.text_table import table

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from shearling.registry.records import AliasEntry, Deployment

#: Outcomes in addition to those of a release.
PENDING, NOT_DEPLOYED, NOT_SET = "pending", "not deployed", "not set"

_HEADINGS = ("ALIAS", "VERSION", "SINCE", "FUNCTION", "SERVES", "OUTCOME", "REASON")

#: Characters of a reason that are shown on the narrowest terminal. Elsewhere it may fill the line.
_REASON_LENGTH = 100

#: Columns of an output that is no terminal, where nothing is cut.
_UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasStatus:
    """One alias on one function, or an alias that no function serves.

    Attributes:
        model: the model's name.
        alias: the alias.
        version: the version that the registry names; None if it names none.
        since: when the registry's current entry was created.
        canary: version and percentage of the canary, such as `{"version": 8, "percent": 10}`.
        function: name of the function that serves the alias; empty if none does.
        region: AWS region of the function.
        api_url: base URL of the API in front of the function; None if there is none.
        serves: the version that was last released on the function; None if none was.
        lambda_version: the Lambda version that the last release left on the alias.
        outcome: outcome of the current entry: "released", "staging", "failed", "pending",
            "not deployed", or "not set" if the registry names no version.
        reason: why the release failed, or is still staging.
    """

    model: str
    alias: str
    version: int | None = None
    since: datetime | None = None
    canary: dict[str, int] | None = None
    function: str = ""
    region: str = ""
    api_url: str | None = None
    serves: int | None = None
    lambda_version: str = ""
    outcome: str
    reason: str = ""

    @property
    def url(self) -> str | None:
        """The URL of the model at this alias; None if there is no API in front of the function."""
        if not self.api_url:
            return None
        return f"{self.api_url.rstrip('/')}/v2/models/{self.model}/versions/{self.alias}"

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return row | {"since": self.since.isoformat() if self.since else None, "url": self.url}


class Status:
    """The status of several aliases; prints as a table and shows as one in a notebook."""

    def __init__(self, rows: Sequence[AliasStatus]) -> None:
        self.rows = tuple(rows)

    def __iter__(self) -> Iterator[AliasStatus]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        return {"aliases": [row.to_dict() for row in self.rows]}

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if not self.rows:
            return "no aliases"
        lines = table(_HEADINGS, map(_cells, self.rows)).splitlines()
        least = lines[0].index(_HEADINGS[-1]) + _REASON_LENGTH
        width = max(least, get_terminal_size((_UNLIMITED, 0)).columns)
        lines = [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]
        urls = [[f"{row.model}:{row.alias}", row.url] for row in self.rows if row.url]
        return "\n".join([*lines, "", table(["ALIAS", "URL"], urls)] if urls else lines)

    def _repr_html_(self) -> str:
        lines = [
            _html_row("th", [heading.capitalize() for heading in _HEADINGS]),
            *(_html_row("td", _cells(row)) for row in self.rows),
        ]
        return f"<table>{''.join(lines)}</table>"


def status(
    model: str | None = None, registry: Registry | str | os.PathLike[str] | None = None
) -> Status:
    """Return for each alias the registry's version, what each function serves, and the outcome.

    Args:
        model: name of one model; all models by default.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        ModelNotFoundError: the registry has no such model.
    """
    source = Registry.existing(registry)
    deployments = source.release_log.deployments(model)
    if model and not deployments:
        source.version(model)
    models = [model] if model else sorted({*source.models(), *(item.model for item in deployments)})
    return Status([row for name in models for row in _rows(source, name, deployments)])


def _rows(
    registry: Registry, model: str, deployments: Sequence[Deployment]
) -> Iterator[AliasStatus]:
    entries = registry.aliases(model)
    deployed = [deployment for deployment in deployments if deployment.model == model]
    deployed_aliases = {alias for deployment in deployed for alias in deployment.aliases}
    for alias in sorted({*entries, *deployed_aliases}):
        entry = entries.get(alias)
        serving = [deployment for deployment in deployed if alias in deployment.aliases]
        for deployment in serving:
            yield _row(registry, model, alias, entry, deployment)
        if not serving:
            yield AliasStatus(
                model=model, alias=alias, outcome=NOT_DEPLOYED, **_entry_fields(entry)
            )


def _row(
    registry: Registry, model: str, alias: str, entry: AliasEntry | None, deployment: Deployment
) -> AliasStatus:
    last = registry.release_log.last(deployment, alias)
    served = next(registry.release_log.successes(deployment, alias), None)
    outcome, reason = PENDING, ""
    if entry is None:
        outcome = NOT_SET
    elif last and last.entry == entry.number:
        outcome, reason = last.outcome, last.reason
    return AliasStatus(
        model=model,
        alias=alias,
        function=deployment.function,
        region=deployment.region,
        api_url=deployment.api_url,
        serves=served.version if served else None,
        lambda_version=last.lambda_version if last else "",
        outcome=outcome,
        reason=reason,
        **_entry_fields(entry),
    )


def _entry_fields(entry: AliasEntry | None) -> dict[str, Any]:
    if entry is None:
        return {}
    canary = dict(entry.canary) if entry.canary else None
    return {"version": entry.version, "since": entry.created, "canary": canary}


def _cells(row: AliasStatus) -> tuple[str, ...]:
    return (
        f"{row.model}:{row.alias}",
        named_versions(row.version, row.canary),
        f"{row.since:%Y-%m-%d %H:%M}" if row.since else "-",
        row.function or "-",
        "-" if row.serves is None else str(row.serves),
        row.outcome,
        " ".join(row.reason.split()),
    )


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
