"""Estimate from a bundle's sizes what a function needs to serve it, and write it as Terraform."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shearling.errors import PackageError
from shearling.progress import human_bytes
from shearling.python_versions import OLDEST_ON_AWS
from shearling.refs import check_alias
from shearling.registry.registry import Registry
from shearling.release.capacity import LAMBDA_LIMIT_MB, megabytes, resident_bytes
from shearling.text_table import table

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from shearling.bundle.manifest import Environment
    from shearling.refs import Pin

#: Lambda's default for /tmp in MB, and what we leave free in it.
_DEFAULT_TMP_MB, _FREE_TMP_MB = 512, 64

#: Below this size a function has so little of a processor that its starts get slow.
_LEAST_MEMORY_MB = 1024
_MEMORY_STEP_MB = 256

#: MB of the runtime with its libraries, and how often a file is in memory while it is loaded:
#: ONNX Runtime packs a copy of the weights, and a pickle is read, decoded and copied.
_RUNTIME_MB = {"onnx": 256, "cloudpickle": 512}
_COPIES = {"onnx": 2, "cloudpickle": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An estimate of what a function needs to serve a bundle; the release check decides.

    Attributes:
        pin: the bundle.
        memory_mb: memory of the function in MB.
        tmp_mb: size of /tmp in MB; None if the bundle is read from a file system.
        environment: Python version and packages of a pickle; None for ONNX.
        aliases: aliases of the function.
        reasons: why each setting has its value, by Terraform's name of the setting.
    """

    pin: Pin
    memory_mb: int
    tmp_mb: int | None
    environment: Environment | None
    aliases: tuple[str, ...]
    reasons: dict[str, str]

    @property
    def values(self) -> dict[str, Any]:
        """The attributes of the model in Terraform: JSON values by name."""
        values: dict[str, Any] = {"memory_mb": self.memory_mb}
        if self.tmp_mb is None:
            values["file_system"] = {}
        elif self.tmp_mb > _DEFAULT_TMP_MB:
            values["ephemeral_storage_mb"] = self.tmp_mb
        if self.environment:
            values |= {
                "allow_pickle": True,
                "package": f"build/{self.pin.model}.zip",
                "python": self.environment.python,
            }
        values["aliases"] = {alias: {} for alias in self.aliases}
        if len(self.aliases) > 1:
            values["default_alias"] = "prod" if "prod" in self.aliases else self.aliases[0]
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
        return "\n".join([f"  {name} = {{", *lines, "  }"])

    def __str__(self) -> str:
        rows = [[name, value, self.reasons.get(name)] for name, value in self.settings.items()]
        return table(["SETTING", "VALUE", "WHY"], rows)


def plan(
    ref: str,
    *,
    aliases: Sequence[str] = (),
    registry: str | os.PathLike[str] | Registry | None = None,
) -> Plan:
    """Estimate what a function needs to serve a model.

    Args:
        ref: the model: `fraud` (the newest version), `fraud:7` or `fraud:prod`.
        aliases: aliases of the function; by default those of the registry, or `prod`.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        InvalidRefError: the ref or an alias is malformed.
        PackageError: no function on AWS has the Python that made the pickle.
        ModelNotFoundError: the registry has no such model, version or alias.
        StoreError: the registry cannot be read.
    """
    source = Registry.existing(registry)
    pin = source.resolve(ref)
    manifest = source.manifest(pin)
    _require_python(pin, manifest.environment)
    wanted = [aliases] if isinstance(aliases, str) else aliases
    size, resident = megabytes(manifest.size), resident_bytes(manifest)
    needed = _RUNTIME_MB[manifest.format] + _COPIES[manifest.format] * megabytes(resident)
    memory = max(_LEAST_MEMORY_MB, -(-needed // _MEMORY_STEP_MB) * _MEMORY_STEP_MB)
    tmp = max(_DEFAULT_TMP_MB, size + _FREE_TMP_MB)
    return Plan(
        pin=pin,
        memory_mb=min(memory, LAMBDA_LIMIT_MB),
        tmp_mb=tmp if tmp <= LAMBDA_LIMIT_MB else None,
        environment=manifest.environment,
        aliases=tuple(dict.fromkeys(map(check_alias, wanted)))
        or tuple(source.aliases(pin.model))
        or ("prod",),
        reasons={
            "memory_mb": _memory_reason(needed, human_bytes(resident)),
            "ephemeral_storage_mb": f"a bundle of {human_bytes(manifest.size)} in /tmp",
            "file_system": f"{human_bytes(manifest.size)} do not fit into /tmp; set `vpc` too",
            "allow_pickle": "a pickle runs code when it is loaded",
            "package": f"`shearling package runtime --for {pin.model}:{pin.version} --output ...`",
            "python": "the Python that made the pickle",
        },
    )


def undeployed_by(
    plans: Iterable[Plan], *, registry: str | os.PathLike[str] | Registry | None = None
) -> list[str]:
    """Return the models with a function that Terraform deletes if it gets these plans alone."""
    deployed = {deployment.model for deployment in Registry.at(registry).release_log.deployments()}
    return sorted(deployed - {each.pin.model for each in plans})


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


def _hcl(value: Any) -> str:
    if isinstance(value, dict) and value:
        return f"{{ {', '.join(f'{name} = {_hcl(it)}' for name, it in value.items())} }}"
    return json.dumps(value)


def _memory_reason(needed: int, loaded: str) -> str:
    if needed > LAMBDA_LIMIT_MB:
        return (
            f"about {needed:,} MB are needed for {loaded} that are loaded, which Lambda does not "
            'have; an ONNX model that is pushed with load="latency" needs less'
        )
    if needed <= _LEAST_MEMORY_MB:
        return f"{needed} MB are enough for {loaded} that are loaded; more memory is more processor"
    return f"{loaded} that are loaded, and the runtime"


def terraform_models(plans: Sequence[Plan]) -> str:
    """Return the input `models` of the Terraform module, as in a .tfvars file."""
    return "\n".join(["models = {", *(each.terraform() for each in plans), "}"])
