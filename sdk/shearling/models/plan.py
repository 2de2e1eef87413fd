"""Estimate from a bundle's sizes what a function needs to serve it, and write it as Terraform."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.progress import human_bytes
from shearling.registry.registry import Registry
from shearling.release.capacity import LAMBDA_LIMIT_MB, megabytes, resident_bytes
from shearling.text_table import table

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

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
    def settings(self) -> dict[str, str]:
        """The attributes of the model in Terraform: HCL expressions by name."""
        settings = {"memory_mb": str(self.memory_mb)}
        if self.tmp_mb is None:
            settings["file_system"] = "{}"
        elif self.tmp_mb > _DEFAULT_TMP_MB:
            settings["ephemeral_storage_mb"] = str(self.tmp_mb)
        if self.environment:
            settings |= {
                "allow_pickle": "true",
                "package": f'"build/{self.pin.model}.zip"',
                "python": f'"{self.environment.python}"',
            }
        settings["aliases"] = f"{{ {', '.join(f'{alias} = {{}}' for alias in self.aliases)} }}"
        if len(self.aliases) > 1:
            default = "prod" if "prod" in self.aliases else self.aliases[0]
            settings["default_alias"] = f'"{default}"'
        return settings

    def terraform(self) -> str:
        """Return the model's entry for the input `models` of the Terraform module."""
        width = max(map(len, self.settings))
        lines = (f"    {name:<{width}} = {value}" for name, value in self.settings.items())
        name = self.pin.model if self.pin.model[0].isalpha() else json.dumps(self.pin.model)
        return "\n".join([f"  {name} = {{", *lines, "  }"])

    def __str__(self) -> str:
        rows = [[name, value, self.reasons.get(name)] for name, value in self.settings.items()]
        return table(["SETTING", "VALUE", "WHY"], rows)


def plan(ref: str, *, registry: str | os.PathLike[str] | Registry | None = None) -> Plan:
    """Estimate what a function needs to serve a model.

    Args:
        ref: the model: `fraud` (the newest version), `fraud:7` or `fraud:prod`.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        ModelNotFoundError: the registry has no such model, version or alias.
        StoreError: the registry cannot be read.
    """
    source = Registry.existing(registry)
    pin = source.resolve(ref)
    manifest = source.manifest(pin)
    size, resident = megabytes(manifest.size), resident_bytes(manifest)
    needed = _RUNTIME_MB[manifest.format] + _COPIES[manifest.format] * megabytes(resident)
    memory = max(_LEAST_MEMORY_MB, -(-needed // _MEMORY_STEP_MB) * _MEMORY_STEP_MB)
    tmp = max(_DEFAULT_TMP_MB, size + _FREE_TMP_MB)
    return Plan(
        pin=pin,
        memory_mb=min(memory, LAMBDA_LIMIT_MB),
        tmp_mb=tmp if tmp <= LAMBDA_LIMIT_MB else None,
        environment=manifest.environment,
        aliases=tuple(source.aliases(pin.model)) or ("prod",),
        reasons={
            "memory_mb": _memory_reason(needed, human_bytes(resident)),
            "ephemeral_storage_mb": f"a bundle of {human_bytes(manifest.size)} in /tmp",
            "file_system": f"{human_bytes(manifest.size)} do not fit into /tmp; set `vpc` too",
            "allow_pickle": "a pickle runs code when it is loaded",
            "package": f"`shearling package runtime --for {pin.model}:{pin.version} --output ...`",
            "python": "the Python that made the pickle",
        },
    )


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
