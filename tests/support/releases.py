"""A model of three versions in a registry in memory, deployed as the function `acme-fraud`."""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from shearling.bundle.canonical_json import canonical_json
from shearling.bundle.digests import Descriptor, digest_of
from shearling.registry.registry import Registry
from shearling.registry.release_log import ReleaseLog
from shearling.release.reconcile import release_alias
from shearling.storage.blobs import blob_key
from tests.support.bundles import scaling_bundle
from tests.support.fake_lambda import FakeLambda, passing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shearling.refs import Pin
    from shearling.registry.records import Deployment, Release
    from shearling.release.outcome import Outcome
    from shearling.storage.store import Store

MOUNT = {
    "Arn": "arn:aws:elasticfilesystem:eu-west-1:0:access-point/fsap-1",
    "LocalMountPath": "/mnt/models",
}

DIGESTS = {number: f"sha256:{number:064x}" for number in range(1, 10)}


def pin(number: int, model: str = "fraud") -> str:
    return f"{model}:{number}@{DIGESTS[number]}"


def memory_registry(versions: int = 3, *, store: Store | None = None) -> Registry:
    registry = (
        Registry(f"memory://{secrets.token_hex(8)}") if store is None else Registry(store=store)
    )
    for number in range(1, versions + 1):
        record = {
            "id": str(number),
            "created": "2026-01-01T00:00:00.000+00:00",
            "digest": DIGESTS[number],
        }
        key = f"models/fraud/versions/{number:010d}.json"
        assert registry.store.create(key, canonical_json(record))
    return registry


def deploy(registry: Registry, function: str = "acme-fraud", **changes: Any) -> Deployment:
    record = {
        "model": "fraud",
        "function": function,
        "aliases": ["prod", "staging"],
        "region": "eu-west-1",
        "account": "000000000000",
        "releaser": "acme_releaser",
        "runtime": "python3.13",
        "api_url": None,
        **changes,
    }
    key = f"000000000000-eu-west-1-{function}"
    registry.store.write(f"deployments/{key}.json", canonical_json(record))
    return next(one for one in registry.release_log.deployments() if one.key == key)


def record(
    registry: Registry,
    deployment: Deployment,
    alias: str,
    entry: int,
    version: int | None,
    **more: Any,
) -> None:
    """Record that an entry was released, as the releaser does."""
    fields = {"entry": entry, "version": version, "outcome": "released", "lambda_version": "1"}
    last = registry.release_log.last(deployment, alias)
    number = last.number + 1 if last else 1
    assert registry.release_log.record(deployment, alias, number, {**fields, **more})


@dataclass
class Stage:
    """A function with the aliases prod and staging, as Terraform leaves it."""

    fake: FakeLambda = field(default_factory=lambda: FakeLambda(settle=2))
    registry: Registry = field(default_factory=memory_registry)

    def __post_init__(self) -> None:
        self.deployment: Deployment = deploy(self.registry)
        self.fake.publish_version()
        self.fake.functions["1"]["State"] = "Active"
        self.fake.create_alias("prod", "1")
        self.fake.create_alias("staging", "1")

    def name(self, version: int, alias: str = "prod", **more: Any) -> int:
        return self.registry.set_alias("fraud", alias, version, **more).number

    def release(self, alias: str = "prod", **more: Any) -> Outcome:
        clock = self.fake.time.clock
        more = {"clock": clock, **more}
        return release_alias(self.fake.client, self.registry, self.deployment, alias, **more)

    def die_before_the_record(self) -> None:
        """Release, and stop just before the release record is written."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ReleaseLog, "record", _die)
            with pytest.raises(KeyboardInterrupt):
                self.release()

    def judge_wrong(self, alias: str, version: int) -> None:
        """Record that the newest Lambda version of a model version failed a check of an alias."""
        numbers = [it for it in self.fake.published if self.fake.pin(it) == pin(version)]
        log = self.registry.release_log
        end, last = log.end(self.deployment, alias)
        fields: dict[str, Any] = {
            "entry": last.entry if last else 1,
            "version": version,
            "outcome": "failed",
            "reason": "wrong",
            "lambda_version": self.fake.aliases[alias]["FunctionVersion"],
            "wrong": (numbers[-1],),
            "success": log.success_up_to(self.deployment, alias, last),
        }
        assert log.record(self.deployment, alias, end + 1, fields)

    def records(self, alias: str = "prod") -> list[Release]:
        return self.registry.release_log.entries(self.deployment, alias)

    def change_latest(self, **changes: Any) -> None:
        """Change the function as Terraform does, without publishing."""
        self.fake.settle, settle = 0, self.fake.settle
        self.fake.update_function_configuration(changes, None)
        self.fake.settle = settle

    def change_code(self, code_sha256: str) -> None:
        self.fake.latest["CodeSha256"] = code_sha256
        self.change_latest()


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def failing(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda configuration: {**passing(configuration), **changes}


def once(operation: str, action: Callable[[], object]) -> Callable[[str], None]:
    """Run a callback just before the first call of an operation."""
    todo = [action]

    def before(name: str) -> None:
        if name == operation and todo:
            todo.pop()()

    return before


def mounted_stage() -> Stage:
    """A function with an empty file system."""
    stage = Stage()
    stage.change_latest(FileSystemConfigs=[MOUNT])
    stage.deployment = deploy(stage.registry, stager="acme_stager", file_system=MOUNT["Arn"])
    stage.fake.stager = lambda _: {"staged": False}
    return stage


def publish_sized(
    stage: Stage,
    directory: Path,
    size: int,
    details: dict[str, Any] | None = None,
    **options: Any,
) -> Pin:
    """Publish a bundle whose manifest says that its weights have a size."""
    bundle = scaling_bundle(directory)
    digest = digest_of(b"weights")
    name = digest.removeprefix("sha256:")
    weights = Descriptor(path=name, digest=digest, size=size)
    manifest = dataclasses.replace(
        bundle.manifest,
        files=(*bundle.manifest.files, weights),
        options={**bundle.manifest.options, **options},
    )
    data = manifest.to_bytes()
    stage.registry.store.write(blob_key(digest_of(data).removeprefix("sha256:")), data)
    number = stage.registry.version_log("fraud").commit(digest_of(data), details or {})[0]
    return stage.registry.resolve(f"fraud:{number}")
