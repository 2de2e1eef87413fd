"""Plan the function of a model: its settings as Terraform, its latency and its cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shearling.bundle.measurement import Measurement
from shearling.errors import InvalidRequestError, PackageError
from shearling.formats.base import REMOTE
from shearling.models.estimates import FREE_TMP_MB, Point, cold_start_ms, point
from shearling.models.function_plan import Plan
from shearling.models.plan_notes import notes
from shearling.models.prices import Prices
from shearling.models.push_options import is_number
from shearling.models.sizing import size_of
from shearling.progress import human_bytes
from shearling.python_versions import OLDEST_ON_AWS
from shearling.refs import check_alias
from shearling.registry.registry import Registry
from shearling.release.capacity import LAMBDA_LIMIT_MB, megabytes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from shearling.bundle.manifest import Environment, Manifest
    from shearling.models.sizing import Size
    from shearling.refs import Pin

#: Memory sizes of the curve: parts of a processor, one, two, three, four, and the most.
_CURVE_MB = (512, 1024, 1769, 3538, 5307, 7076, LAMBDA_LIMIT_MB)


def plan(
    ref: str,
    *,
    p95_ms: float | None = None,
    per_month: float | None = None,
    prices: str | os.PathLike[str] | Prices | None = None,
    aliases: Sequence[str] = (),
    registry: str | os.PathLike[str] | Registry | None = None,
) -> Plan:
    """Estimate what a function needs to serve a model, how fast it is, and what it costs.

    The estimate is from what the push measured, and from the sizes of the files for a version that
    was pushed without measuring.

    Args:
        ref: the model: `fraud` (the newest version), `fraud:7` or `fraud:prod`.
        p95_ms: milliseconds that 95 % of the requests of one row may take at most, when the
            function is warm. The plan gets the memory for it.
        per_month: requests a month, for the price of a month.
        prices: a file of prices, by default the list prices in the package.
        aliases: aliases of the function; by default those of the registry, or `prod`.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        InvalidRefError: the ref or an alias is malformed.
        InvalidRequestError: `p95_ms`, `per_month` or the file of prices is not valid.
        PackageError: no function on AWS has the Python that made the pickle, or an endpoint serves
            the model.
        ModelNotFoundError: the registry has no such model, version or alias.
        StoreError: the registry cannot be read.
    """
    _check_positive("p95_ms", p95_ms)
    _check_positive("per_month", per_month)
    wanted = [aliases] if isinstance(aliases, str) else aliases
    table = prices if isinstance(prices, Prices) else Prices.read(prices)
    source = Registry.existing(registry)
    version = source.version(ref)
    pin, manifest = version.pin, source.manifest(version.pin)
    _require_model(pin, manifest)
    _require_python(pin, manifest.environment)
    measured = Measurement.from_details(version.details)
    size = size_of(manifest, measured, table, p95_ms=p95_ms)
    points = _points(measured, table, size)
    # Not for an estimate from file sizes: such a model may fit a function after all.
    instance = table.instance(size.needed_mb) if measured and size.exceeds_memory else None
    at = next((it for it in points if it.memory_mb == size.memory_mb), None)
    return Plan(
        pin=pin,
        placement=size.placement,
        instance_type=instance.name if instance else None,
        needed_mb=size.needed_mb,
        memory_mb=size.memory_mb,
        tmp_mb=size.tmp_mb,
        timeout_seconds=size.timeout_seconds,
        environment=manifest.environment,
        aliases=tuple(dict.fromkeys(map(check_alias, wanted)))
        or tuple(source.aliases(pin.model))
        or ("prod",),
        measured=measured,
        cold_start_ms=cold_start_ms(measured, megabytes(manifest.size)) if measured else None,
        at=at,
        curve=points,
        per_month=per_month,
        prices=table,
        reasons=_reasons(pin, size, human_bytes(manifest.size))
        | (_endpoint_reasons(pin, size, manifest.environment) if instance else {}),
        notes=notes(size, at, table, per_month, is_measured=measured is not None),
    )


def undeployed_by(
    plans: Iterable[Plan], *, registry: str | os.PathLike[str] | Registry | None = None
) -> list[str]:
    """Return the models with a function that Terraform deletes if it gets these plans alone."""
    deployed = {deployment.model for deployment in Registry.at(registry).release_log.deployments()}
    return sorted(deployed - {each.pin.model for each in plans})


def _require_model(pin: Pin, manifest: Manifest) -> None:
    if manifest.format == REMOTE:
        raise PackageError(
            f"{pin.model}:{pin.version} is the contract of a model that an endpoint serves, so "
            "there is nothing to size: set `endpoint_name` and `memory_mb = 512` for it in "
            "Terraform"
        )


def _require_python(pin: Pin, environment: Environment | None) -> None:
    if environment is None:
        return
    if tuple(map(int, environment.python.split("."))) < OLDEST_ON_AWS:
        oldest = ".".join(map(str, OLDEST_ON_AWS))
        raise PackageError(
            f"no function on AWS can serve {pin.model}:{pin.version}, a pickle made by Python "
            f"{environment.python}: functions have Python {oldest} or newer, so push the model "
            f"again from Python {oldest} or newer"
        )


def _check_positive(field: str, value: Any) -> None:
    if value is not None and not (is_number(value) and 0 < value < math.inf):
        raise InvalidRequestError(f"{field} {value!r:.80} is not a number above 0")


def _points(measured: Measurement | None, prices: Prices, size: Size) -> tuple[Point, ...]:
    """Return latency and cost for the sizes of memory in which the model fits."""
    if measured is None:
        return ()
    tmp = size.tmp_mb or FREE_TMP_MB
    sizes = {it for it in _CURVE_MB if it >= size.needed_mb} | {size.memory_mb}
    points = (point(measured, prices, memory_mb=it, tmp_mb=tmp) for it in sorted(sizes))
    return tuple(it for it in points if it)


def _reasons(pin: Pin, size: Size, files: str) -> dict[str, str]:
    return {
        "memory_mb": size.memory_reason,
        "ephemeral_storage_mb": f"a bundle of {files} in /tmp",
        "file_system": f"{files} do not fit into /tmp; set `vpc` too",
        "placement": size.placement_reason,
        "timeout_seconds": "the largest request that was measured, and a long start",
        "allow_pickle": "a pickle runs code when it is loaded",
        "package": f"`shearling package runtime --for {pin.model}:{pin.version} --output ...`",
        "python": "the Python that made the pickle",
    }


def _endpoint_reasons(pin: Pin, size: Size, environment: Environment | None) -> dict[str, str]:
    packages = f" --for {pin.model}:{pin.version}" if environment else ""
    return {
        "memory_mb": "the function loads no model: it forwards requests to the endpoint",
        "sagemaker": f"{size.placement_reason}; set `endpoint_image_uri` too, to what "
        f"`shearling package image{packages} --push ...` prints",
        "timeout_seconds": "SageMaker answers within 60 s",
    }


def terraform_models(plans: Sequence[Plan]) -> str:
    """Return the input `models` of the Terraform module, as in a .tfvars file."""
    return "\n".join(["models = {", *(each.terraform() for each in plans), "}"])
