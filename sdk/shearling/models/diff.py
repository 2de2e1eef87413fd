"""Compare two versions: what changes for callers, and what the registry knows of both."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from shearling.bundle.contract import REVISION_FIELD, Contract
from shearling.bundle.contract_changes import contract_changes
from shearling.bundle.measurement import MEASURED_FIELD, Measurement
from shearling.errors import InvalidRefError
from shearling.models.model_version import ModelVersion
from shearling.registry.registry import Registry
from shearling.text_table import table

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from shearling.bundle.contract_changes import Change
    from shearling.bundle.manifest import Manifest
    from shearling.refs import Pin
    from shearling.registry.records import Version

#: Characters of a fact that a table shows at most.
_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A fact that differs between two versions.

    Attributes:
        name: what it is, as in `metadata auc` or `load_ms`.
        before: its value for the first version; None if there is none.
        after: its value for the second version; None if there is none.
    """

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """The differences between two versions; prints as text, and as tables in a notebook.

    Attributes:
        before: the first version.
        after: the second version.
        changes: what changes for callers of the first version, if the second one answers them.
        facts: what else differs: metrics, size, load time, packages, git commit ...
    """

    before: Pin
    after: Pin
    changes: tuple[Change, ...]
    facts: tuple[Fact, ...]

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that break callers of the first version."""
        return tuple(change for change in self.changes if change.effect == "breaking")

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        return {
            "before": str(self.before),
            "after": str(self.after),
            "is_breaking": bool(self.breaking),
            "changes": [asdict(change) for change in self.changes],
            "facts": [asdict(fact) for fact in self.facts],
        }

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        parts = [self._verdict()]
        if self.changes:
            parts.append(table(_CHANGE_HEADINGS, map(_change_cells, self.changes)))
        if self.facts:
            parts.append(table(self._fact_headings(), map(_fact_cells, self.facts)))
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [f"<p>{escape(self._verdict())}</p>"]
        if self.changes:
            parts.append(_html_table(_CHANGE_HEADINGS, map(_change_cells, self.changes)))
        if self.facts:
            parts.append(_html_table(self._fact_headings(), map(_fact_cells, self.facts)))
        return "".join(parts)

    def _verdict(self) -> str:
        before, after = (f"{pin.model}:{pin.version}" for pin in (self.before, self.after))
        if self.before == self.after:
            return f"{before} and {after} are the same version"
        if count := len(self.breaking):
            verdict = f"{count} {'change' if count == 1 else 'changes'} would break callers"
        elif self.changes:
            verdict = "no change is known to break callers"
        else:
            verdict = "the contract is the same"
        return f"{before} -> {after}: {verdict}"

    def _fact_headings(self) -> tuple[str, ...]:
        return ("FACT", *(f"{pin.model}:{pin.version}" for pin in (self.before, self.after)))


_CHANGE_HEADINGS = ("EFFECT", "CHANGE", "BEFORE", "AFTER", "REASON")


def diff(
    before: str | ModelVersion,
    after: str | ModelVersion,
    *,
    registry: Registry | str | os.PathLike[str] | None = None,
) -> Diff:
    """Compare two versions.

    Args:
        before: ref of the version that callers know, such as `fraud:prod` or `fraud:7`, or the
            result of `push_model`.
        after: ref of the version that is to answer them, such as `fraud:8`, or the result of
            `push_model`.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        InvalidRefError: a ref is malformed.
        ModelNotFoundError: the registry has no such model, version or alias.
        BundleError: the manifest of a version cannot be read.
    """
    source = Registry.existing(registry)
    old, new = [
        (version, source.manifest(version.pin))
        for version in (source.version(_ref(before)), source.version(_ref(after)))
    ]
    return Diff(
        before=old[0].pin,
        after=new[0].pin,
        changes=contract_changes(_contract(*old), _contract(*new)),
        facts=tuple(_differing(dict(_facts(*old)), dict(_facts(*new)))),
    )


def _ref(value: object) -> str | Pin:
    if isinstance(value, str):
        return value
    if isinstance(value, ModelVersion):
        return value.pin
    raise InvalidRefError(
        f"{value!r:.80}: expected a ref such as 'fraud:7', or the result of push_model"
    )


def _contract(version: Version, manifest: Manifest) -> Contract:
    return Contract.of(manifest, version.details)


def _differing(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Fact]:
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield Fact(name=name, before=before.get(name), after=after.get(name))


def _facts(version: Version, manifest: Manifest) -> Iterator[tuple[str, Any]]:
    """Yield the facts about a version by name, those that people ask for first."""
    details = dict(version.details)
    metrics = details.pop("metrics", None)
    # The manifest has numbers as strings; records of newer pushes have them as numbers too.
    numbers = metrics if isinstance(metrics, dict) else {}
    for name, value in {**manifest.metadata, **numbers}.items():
        yield f"metadata {name}", value
    yield "format", manifest.format
    yield "size_bytes", manifest.size
    if manifest.environment:
        yield "package python", manifest.environment.python
        for requirement in manifest.environment.requirements:
            name, _, number = requirement.partition("==")
            yield f"package {name}", number or requirement
    for name, value in manifest.options.items():
        if name != "columns":  # the contract has them
            yield f"option {name}", value
    yield "pushed", version.created.isoformat(timespec="seconds")
    for name, value in details.items():
        if name not in ("format", "size_bytes", REVISION_FIELD, MEASURED_FIELD):
            yield name, value
    if measured := Measurement.from_details(details):
        yield "measured start_mb", measured.start_mb
        yield "measured peak_mb", measured.peak_mb
        for latency in measured.latencies:
            what = f"{latency.rows or 'example'} rows, {latency.threads} threads"
            yield f"measured p50_ms, {what}", latency.p50_ms


def _change_cells(change: Change) -> tuple[str, ...]:
    return change.effect, change.place, change.before, change.after, change.reason


def _fact_cells(fact: Fact) -> tuple[str, ...]:
    return fact.name, _text(fact.before), _text(fact.after)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _html_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [("th", headings), *(("td", row) for row in rows)]
    return "".join(
        ["<table>"]
        + [
            f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
            for tag, cells in lines
        ]
        + ["</table>"]
    )
