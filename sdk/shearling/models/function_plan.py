"""The plan of a model's function: its settings and estimates, as Terraform, text and HTML."""

from __future__ import annotations

import html as markup
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from shearling.models.chart import Line, chart
from shearling.models.estimates import FREE_TMP_MB, latency_ms
from shearling.models.sizing import DEFAULT_TIMEOUT
from shearling.text_table import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shearling.bundle.manifest import Environment
    from shearling.bundle.measurement import Measurement
    from shearling.models.estimates import Point
    from shearling.models.prices import Prices
    from shearling.models.sizing import Placement
    from shearling.refs import Pin

#: Memory in MB and timeout in seconds of a function that forwards requests to an endpoint.
_FORWARDING_MB, _FORWARDING_TIMEOUT = 512, 65

#: Characters of the longest bar of the curve in text.
_BAR = 24

_SETTING_HEADINGS = ("SETTING", "VALUE", "WHY")
_ESTIMATE_HEADINGS = ("ESTIMATE", "VALUE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An estimate of what a function needs to serve a bundle; the release check decides.

    It prints as a table, and a notebook shows a chart too. Latencies are for a request of one row
    to a function that is warm. What was not measured at the push is None.

    Attributes:
        pin: the bundle.
        placement: where the bundle is read from: "tmp", "file_system", or "sagemaker" if no
            function can serve it.
        instance_type: instance type of the SageMaker endpoints that serve the bundle, because its
            measured memory is more than Lambda has; None if it is not, or if no type has it.
        needed_mb: memory in MB that the model needs.
        memory_mb: memory of the function in MB; the largest of Lambda if no function can serve it.
        tmp_mb: size of /tmp in MB; None if the bundle is read from a file system.
        timeout_seconds: timeout of the function in seconds.
        environment: Python version and packages of a pickle; None for ONNX.
        aliases: aliases of the function.
        measured: what the push measured; None if it did not, so that file sizes are used.
        cold_start_ms: milliseconds until a new sandbox can answer.
        at: latency, and cost of a million requests, with the planned memory.
        curve: the same with other sizes of memory.
        per_month: requests a month; None if none were given.
        prices: the prices.
        reasons: why each setting has its value, by Terraform's name of the setting; and why the
            bundle is placed where it is, as `placement`.
        notes: what else to know.
    """

    pin: Pin
    placement: Placement
    instance_type: str | None
    needed_mb: int
    memory_mb: int
    tmp_mb: int | None
    timeout_seconds: int
    environment: Environment | None
    aliases: tuple[str, ...]
    measured: Measurement | None
    cold_start_ms: float | None
    at: Point | None
    curve: tuple[Point, ...]
    per_month: float | None
    prices: Prices
    reasons: dict[str, str]
    notes: tuple[str, ...]

    @property
    def p50_ms(self) -> float | None:
        """Median latency in milliseconds."""
        return self.at.p50_ms if self.at else None

    @property
    def p95_ms(self) -> float | None:
        """95th percentile of the latency in milliseconds."""
        return self.at.p95_ms if self.at else None

    @property
    def cost_million(self) -> float | None:
        """Price of a million requests."""
        return self.at.cost_million if self.at else None

    @property
    def cost_month(self) -> float | None:
        """Price of the given requests a month; None if none were given."""
        if self.at is None or self.per_month is None:
            return None
        return self.at.cost_million * self.per_month / 1e6

    @property
    def values(self) -> dict[str, Any]:
        """The attributes of the model in Terraform: JSON values by name."""
        values = self._endpoint_values() if self.instance_type else self._function_values()
        values["aliases"] = {alias: {} for alias in self.aliases}
        if len(self.aliases) > 1:
            values["default_alias"] = "prod" if "prod" in self.aliases else self.aliases[0]
        return values

    def _function_values(self) -> dict[str, Any]:
        values: dict[str, Any] = {"memory_mb": self.memory_mb}
        if self.tmp_mb is None:
            values["file_system"] = {}
        elif self.tmp_mb > FREE_TMP_MB:
            values["ephemeral_storage_mb"] = self.tmp_mb
        if self.timeout_seconds > DEFAULT_TIMEOUT:
            values["timeout_seconds"] = self.timeout_seconds
        if self.environment:
            values |= {
                "allow_pickle": True,
                "package": f"build/{self.pin.model}.zip",
                "python": self.environment.python,
            }
        return values

    def _endpoint_values(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            "memory_mb": _FORWARDING_MB,
            "sagemaker": {"instance_type": self.instance_type},
        }
        if self.timeout_seconds > DEFAULT_TIMEOUT:
            values["timeout_seconds"] = _FORWARDING_TIMEOUT
        if self.environment:
            values["allow_pickle"] = True
        return values

    @property
    def settings(self) -> dict[str, str]:
        """The attributes of the model in Terraform: HCL expressions by name."""
        return {name: _hcl(value) for name, value in self.values.items()}

    def terraform(self) -> str:
        """Return the model's entry for the input `models` of the Terraform module."""
        width = max(map(len, self.settings))
        lines = (f"    {name:<{width}} = {value}" for name, value in self.settings.items())
        name = self.pin.model if self.pin.model[0].isalpha() else json.dumps(self.pin.model)
        doubt = [f"  # no function can serve it: {self.reasons['placement']}"]
        return "\n".join(
            [*(doubt * (self.placement == "sagemaker")), f"  {name} = {{", *lines, "  }"]
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values."""
        return {
            "version": self.pin.version,
            "settings": self.values,
            "reasons": {name: self.reasons.get(name, "") for name in self.values},
            "placement": {"at": self.placement, "reason": self.reasons["placement"]},
            "needed_mb": self.needed_mb,
            "estimates": {
                "cold_start_ms": self.cold_start_ms,
                "p50_ms": self.p50_ms,
                "p95_ms": self.p95_ms,
                "cost_million": self.cost_million,
                "cost_month": self.cost_month,
            },
            "curve": [asdict(point) for point in self.curve],
            "prices": {
                "region": self.prices.region,
                "date": self.prices.date,
                "currency": self.prices.currency,
            },
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        parts = [table(_SETTING_HEADINGS, _settings(self))]
        if self.at:
            parts.append(table(_ESTIMATE_HEADINGS, _estimates(self)))
            parts.append(_curve(self))
        return "\n\n".join([*parts, *self.notes])

    def _repr_html_(self) -> str:
        parts = [_html_table(_SETTING_HEADINGS, _settings(self))]
        if self.at:
            parts.append(_html_table(_ESTIMATE_HEADINGS, _estimates(self)))
            parts.append(_chart(self))
        notes = (f"<p>{markup.escape(note)}</p>" for note in self.notes)
        return "".join([*parts, *notes])


def _settings(plan: Plan) -> list[list[str]]:
    return [[name, value, plan.reasons.get(name, "")] for name, value in plan.settings.items()]


def _estimates(plan: Plan) -> list[list[str]]:
    """Return the rows of estimates that are known."""
    money = f"{plan.prices.currency} ({plan.prices.region}, {plan.prices.date})"
    places = {"tmp": "/tmp", "file_system": "a file system", "sagemaker": "SageMaker"}  # noqa: S108
    rows = [
        ["bundle is read from", f"{places[plan.placement]}: {plan.reasons['placement']}"],
        ["memory that is needed", f"{plan.needed_mb:,} MB"],
        ["cold start", _milliseconds(plan.cold_start_ms)],
        ["one row, median", _milliseconds(plan.p50_ms)],
        ["one row, 95th percentile", _milliseconds(plan.p95_ms)],
        *_largest(plan),
        ["a million requests of one row", f"{_amount(plan.cost_million)} {money}"],
    ]
    if plan.per_month is not None:
        what = f"{plan.per_month:,.0f} requests a month"
        rows.append([what, f"{_amount(plan.cost_month)} {plan.prices.currency}"])
    return rows


def _largest(plan: Plan) -> list[list[str]]:
    """Return the row of the largest request that was measured, if it has more than one row."""
    latency = plan.measured.latency(largest=True) if plan.measured else None
    if plan.measured is None or latency is None or (latency.rows or 1) == 1:
        return []
    _, p95 = latency_ms(plan.measured, latency, memory_mb=plan.memory_mb)
    return [[f"{latency.rows:,} rows, 95th percentile", _milliseconds(p95)]]


def _curve(plan: Plan) -> str:
    most_ms = max(point.p50_ms for point in plan.curve)
    most_cost = max(point.cost_million for point in plan.curve)
    rows = [
        [
            f"{point.memory_mb:,}{' *' if point.memory_mb == plan.memory_mb else ''}",
            _milliseconds(point.p50_ms),
            _bar(point.p50_ms, most_ms),
            _amount(point.cost_million),
            _bar(point.cost_million, most_cost),
        ]
        for point in plan.curve
    ]
    return table(["MEMORY", "MEDIAN", "", f"{plan.prices.currency} A MILLION", ""], rows)


def _bar(value: float, most: float) -> str:
    return "#" * max(1, round(_BAR * value / most)) if most else "#"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value / 1000:,.3g} s" if value >= 1000 else f"{value:.3g} ms"  # noqa: PLR2004


def _amount(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.2f}"


def _html_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [("th", headings), *(("td", row) for row in rows)]
    cells = (
        "".join(f"<{tag} style='text-align:left'>{markup.escape(cell)}</{tag}>" for cell in row)
        for tag, row in lines
    )
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in cells)}</table>"


def _chart(plan: Plan) -> str:
    sizes = [point.memory_mb for point in plan.curve]
    lines = [
        Line("median latency", [point.p50_ms for point in plan.curve], _milliseconds),
        Line(
            f"{plan.prices.currency} a million",
            [point.cost_million for point in plan.curve],
            _amount,
        ),
    ]
    return chart(sizes, lines)


def _hcl(value: Any) -> str:
    if isinstance(value, dict) and value:
        return f"{{ {', '.join(f'{name} = {_hcl(it)}' for name, it in value.items())} }}"
    return json.dumps(value)
