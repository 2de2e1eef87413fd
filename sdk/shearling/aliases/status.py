"""Where every alias stands: what the registry names, what each function serves, and why."""

from __future__ import annotations

from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING, Any

from shearling.registry.records import named_versions
from shearling.registry.registry import Registry
from shearling.text_table import table

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from shearling.registry.records import AliasEntry, Deployment

#: Outcomes beside those of a release.
PENDING, NOT_DEPLOYED, NOT_SET = "pending", "not deployed", "not set"

_HEADINGS = ("ALIAS", "VERSION", "SINCE", "FUNCTION", "SERVES", "OUTCOME", "REASON")

#: With more of a reason than this, a table is no table any more.
_REASON_LENGTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasStatus:
    """One alias on one function, or an alias that no function serves.

    Attributes:
        version: that the registry names; None if it names none.
        since: when it was named.
        canary: `{"version": 8, "percent": 10}`.
        function: that serves the alias; empty if none does.
        serves: the version that was last released there; None if none was.
        outcome: of the current entry: "released", "failed", "pending", "not deployed", or
            "not set" if the registry names no version.
        reason: why it failed.
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

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return row | {"since": self.since.isoformat() if self.since else None}


class Status:
    """The aliases of one model or of all; a table in a notebook and in print."""

    def __init__(self, rows: Sequence[AliasStatus]) -> None:
        self.rows = tuple(rows)

    def __iter__(self) -> Iterator[AliasStatus]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"aliases": [row.to_dict() for row in self.rows]}

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if not self.rows:
            return "no aliases"
        return table(_HEADINGS, map(_cells, self.rows))

    def _repr_html_(self) -> str:
        lines = [
            _html_row("th", [heading.capitalize() for heading in _HEADINGS]),
            *(_html_row("td", _cells(row)) for row in self.rows),
        ]
        return f"<table>{''.join(lines)}</table>"


def status(
    model: str | None = None, registry: Registry | str | os.PathLike[str] | None = None
) -> Status:
    """Tell of each alias what the registry names, what each function serves, the last outcome.

    Args:
        model: one model; all by default.
        registry: the registry or its URI; by default what SHEARLING_REGISTRY says.

    Raises:
        ModelNotFoundError: there is no such model.
    """
    source = Registry.at(registry)
    deployments = source.release_log.deployments(model)
    if model and not deployments:
        source.version(model)
    models = [model] if model else sorted({*source.models(), *(it.model for it in deployments)})
    return Status([row for name in models for row in _rows(source, name, deployments)])


def _rows(
    registry: Registry, model: str, deployments: Sequence[Deployment]
) -> Iterator[AliasStatus]:
    entries = registry.aliases(model)
    serving = [one for one in deployments if one.model == model]
    for alias in sorted({*entries, *(alias for one in serving for alias in one.aliases)}):
        entry = entries.get(alias)
        functions = [one for one in serving if alias in one.aliases]
        for one in functions:
            yield _row(registry, model, alias, entry, one)
        if not functions:
            yield AliasStatus(model=model, alias=alias, outcome=NOT_DEPLOYED, **_named(entry))


def _row(
    registry: Registry, model: str, alias: str, entry: AliasEntry | None, one: Deployment
) -> AliasStatus:
    last = registry.release_log.last(one, alias)
    served = next(registry.release_log.successes(one, alias), None)
    outcome, reason = PENDING, ""
    if entry is None:
        outcome = NOT_SET
    elif last and last.entry == entry.number:
        outcome, reason = last.outcome, last.reason
    return AliasStatus(
        model=model,
        alias=alias,
        function=one.function,
        region=one.region,
        api_url=one.api_url,
        serves=served.version if served else None,
        lambda_version=last.lambda_version if last else "",
        outcome=outcome,
        reason=reason,
        **_named(entry),
    )


def _named(entry: AliasEntry | None) -> dict[str, Any]:
    if entry is None:
        return {}
    canary = dict(entry.canary) if entry.canary else None
    return {"version": entry.version, "since": entry.created, "canary": canary}


def _cells(row: AliasStatus) -> tuple[str, ...]:
    reason = " ".join(row.reason.split())
    return (
        f"{row.model}:{row.alias}",
        named_versions(row.version, row.canary),
        f"{row.since:%Y-%m-%d %H:%M}" if row.since else "-",
        row.function or "-",
        "-" if row.serves is None else str(row.serves),
        row.outcome,
        reason if len(reason) <= _REASON_LENGTH else reason[: _REASON_LENGTH - 1] + "…",
    )


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
