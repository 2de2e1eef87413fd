"""Names for bundles: publish, resolve and fetch them, and keep the log of every alias.

Everything immutable is content-addressed; everything named is a record, and the highest number of
a log is current.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from shearling.bundle.digests import Descriptor, digest_of
from shearling.bundle.manifest import Manifest
from shearling.errors import BundleError, IntegrityError, ModelNotFoundError, RegistryError
from shearling.refs import Pin, Ref, check_alias, check_model, nearest
from shearling.registry.append_log import Log, create_or_read, read_json
from shearling.registry.records import AliasEntry, Deployment, Published, Release, Version
from shearling.storage.blobs import Fetched, blob_key, fetch_blobs
from shearling.storage.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from shearling.storage.store import Store

#: The variable that names the registry wherever Shearling runs.
REGISTRY_VARIABLE = "SHEARLING_REGISTRY"

_DEPLOYMENT = re.compile(r"deployments/[^/]+\.json")


class Registry:
    """A registry of models.

    Args:
        uri: `s3://bucket/prefix`, a directory, or `memory://name`; by default what the environment
            variable SHEARLING_REGISTRY says.
        store: an opened store, instead of a URI.

    Raises:
        RegistryError: no registry is named.
        StoreError: it cannot be opened.
    """

    def __init__(
        self, uri: str | os.PathLike[str] | None = None, *, store: Store | None = None
    ) -> None:
        if store is None:
            name = os.fspath(uri or os.environ.get(REGISTRY_VARIABLE, ""))
            if not name:
                raise RegistryError(
                    f"no registry: pass registry=..., or set {REGISTRY_VARIABLE} to the "
                    "`registry_uri` that Terraform printed"
                )
            store = open_store(name)
        self.store = store

    @classmethod
    def at(cls, registry: str | os.PathLike[str] | Registry | None) -> Registry:
        """Return a registry itself, or open the one that a URI or SHEARLING_REGISTRY names."""
        return registry if isinstance(registry, Registry) else cls(registry)

    def __repr__(self) -> str:
        return f"Registry({self.store.uri!r})"

    # Reading

    def models(self) -> list[str]:
        """Return the names of all models that have a version."""
        return [name for name in self.store.folders("models") if self._versions(name).last()]

    def versions(self, model: str) -> list[Version]:
        """Return all versions of a model, oldest first.

        Raises:
            ModelNotFoundError: there is no such model.
        """
        numbers = list(self._versions(check_model(model)).numbers())
        if not numbers:
            raise self._no_model(model)
        return [self._version(model, number) for number in numbers]

    def version(self, ref: str | Ref | Pin) -> Version:
        """Return the record of the version that a ref names.

        Raises:
            ModelNotFoundError: there is no such model, version or alias.
        """
        pin = self.resolve(ref)
        return self._version(pin.model, pin.version)

    def aliases(self, model: str) -> dict[str, AliasEntry]:
        """Return the current entry of every alias of a model."""
        names = self.store.folders(f"models/{check_model(model)}/aliases")
        entries = {name: self.alias_entry(model, name) for name in names}
        return {name: entry for name, entry in entries.items() if entry}

    def alias_entry(self, model: str, alias: str) -> AliasEntry | None:
        """Return the current entry of an alias, or None if it was never set."""
        number = self._alias_log(model, alias).last()
        return self._entry(model, alias, number) if number else None

    def history(self, model: str, alias: str) -> list[AliasEntry]:
        """Return every entry in the log of an alias, oldest first."""
        numbers = self._alias_log(model, alias).numbers()
        return [self._entry(model, alias, number) for number in numbers]

    def resolve(self, ref: str | Ref | Pin) -> Pin:
        """Return the pin of what a ref names now.

        Raises:
            InvalidRefError: it is not a ref.
            ModelNotFoundError: it names nothing.
        """
        if isinstance(ref, Pin):
            return ref
        if isinstance(ref, str):
            ref = Ref.parse(ref)
        number = ref.selector
        if isinstance(number, int) and ref.digest:
            return Pin(ref.model, number, ref.digest)
        if number is None:
            number = self._versions(ref.model).last()
            if not number:
                raise self._no_model(ref.model)
        elif isinstance(number, str):
            entry = self.alias_entry(ref.model, number)
            if entry is None:
                raise self._no_alias(ref.model, number)
            number = entry.version
        return self._version(ref.model, number).pin

    def manifest(self, ref: str | Ref | Pin) -> Manifest:
        """Return the manifest of what a ref names, proven by its digest.

        Raises:
            IntegrityError: the stored manifest is not what was pushed.
        """
        pin = self.resolve(ref)
        data = self.store.read(blob_key(pin.digest.removeprefix("sha256:")))
        if data is None:
            raise ModelNotFoundError(f"the manifest of {pin} is not in {self.store.uri}")
        if digest_of(data) != pin.digest:
            raise IntegrityError(
                f"the manifest of {pin}", expected=pin.digest, actual=digest_of(data)
            )
        manifest = Manifest.from_bytes(data)
        if manifest.model != pin.model:
            raise BundleError(f"{pin} names a bundle of model {manifest.model!r}", field="model")
        return manifest

    def fetch(
        self,
        manifest: Manifest,
        directory: Path,
        advance: Callable[[int], object] = int,
        *,
        durable: bool = True,
    ) -> Fetched:
        """Bring a bundle's files to `directory/<hex>`, proven; see `fetch_blobs`."""
        return fetch_blobs(self.store, manifest.files, directory, advance, durable=durable)

    # Writing

    def publish(
        self,
        manifest: Manifest,
        files: Mapping[str, Path],
        details: Mapping[str, Any],
        advance: Callable[[int], object] = int,
    ) -> Published:
        """Store a bundle under the next version, or find the version that is the same bundle.

        Args:
            manifest: describes every file.
            files: where each of the manifest's paths lies on this machine.
            details: what was measured; goes into the version's record.
            advance: told the number of bytes of each part sent, or found already there.

        Raises:
            BundleError: the manifest is none that can be read again.
            IntegrityError: a file changed under way; nothing is visible.
            StoreError: the store failed; nothing is visible.
        """
        data = manifest.to_bytes()
        Manifest.from_bytes(data)  # what no reader takes must not become a version
        digest = digest_of(data)
        if found := self._find_digest(manifest.model, digest):
            return Published(self._version(manifest.model, found), is_new=False, sent_bytes=0)
        sent = sum(self._upload(file, files[file.path], advance) for file in manifest.files)
        key = blob_key(digest.removeprefix("sha256:"))
        if self.store.size(key) != len(data):
            self.store.write(key, data)
            sent += len(data)
        number, is_new = self._commit_version(manifest.model, digest, details)
        return Published(self._version(manifest.model, number), is_new, sent)

    def set_alias(
        self,
        model: str,
        alias: str,
        version: int,
        *,
        canary: Mapping[str, int] | None = None,
        reason: str = "",
    ) -> AliasEntry:
        """Name a version by an alias, from now on.

        Raises:
            ModelNotFoundError: there is no such version.
        """
        log = self._alias_log(model, alias)
        self._version(model, version)
        if canary:
            self._version(model, canary["version"])
        number = log.append({"version": version, "canary": canary, "reason": reason})
        return self._entry(model, alias, number)

    def replace_entry(self, current: AliasEntry, version: int, reason: str) -> AliasEntry | None:
        """Name a version only if `current` is still the newest entry; None if it is not."""
        fields = {"version": version, "canary": None, "reason": reason}
        number = current.number + 1
        if self._alias_log(current.model, current.alias).create(number, fields):
            return None
        return self._entry(current.model, current.alias, number)

    # Deployments and releases

    def deployments(self, model: str | None = None) -> list[Deployment]:
        """Return the functions that serve a model, or all functions."""
        keys = [key for key in self.store.keys("deployments") if _DEPLOYMENT.fullmatch(key)]
        found = [self._deployment(key) for key in keys]
        return [one for one in found if one and model in (None, one.model)]

    def releases(self, deployment: Deployment, alias: str, *, after: int = 0) -> list[Release]:
        """Return what became of an alias's entries on a function, oldest first.

        Args:
            deployment: the function.
            alias: the alias.
            after: number of the last release that is known already.
        """
        log = self._release_log(deployment, alias)
        return [self._release(log, number) for number in log.numbers(after=after)]

    def last_release(self, deployment: Deployment, alias: str) -> Release | None:
        """Return the newest release of an alias on a function."""
        log = self._release_log(deployment, alias)
        number = log.last()
        return self._release(log, number) if number else None

    def successes(self, deployment: Deployment, alias: str) -> Iterator[Release]:
        """Yield the successful releases of an alias on a function, newest first."""
        log = self._release_log(deployment, alias)
        for number in reversed(list(log.numbers())):
            release = self._release(log, number)
            if release.outcome == "released":
                yield release

    def record_release(
        self, deployment: Deployment, alias: str, number: int, fields: Mapping[str, Any]
    ) -> bool:
        """Write to the log of releases; for the releaser alone.

        Args:
            deployment: the function.
            alias: the alias.
            number: the next one after the newest that the writer knows.
            fields: those of Release but for `number` and `created`.

        Returns:
            Whether it is written: not if somebody else has written under this number.
        """
        return self._release_log(deployment, alias).create(number, fields) is None

    # How it is kept

    def _commit_version(
        self, model: str, digest: str, details: Mapping[str, Any]
    ) -> tuple[int, bool]:
        """Create the version record, or find the one of the same digest: at most one ever exists.

        The invariant: version n+1 is created only after the digest of version n is indexed. So who
        sees n as the last one, indexes it, and finds its own digest in no index, knows that no
        version up to n is the same bundle; and n+1 can be created by one push only.
        """
        log = self._versions(model)
        last = log.last()
        if last:
            self._index(self._version(model, last).pin)
        if found := self._find_digest(model, digest):
            return found, False
        number = last + 1
        while taken := log.create(number, {"digest": digest, **details}):
            self._index(Pin(model, number, taken["digest"]))
            if taken["digest"] == digest:
                return number, False
            number += 1
        self._index(Pin(model, number, digest))
        return number, True

    def _index(self, pin: Pin) -> None:
        if self._find_digest(pin.model, pin.digest) is None:
            key = _digest_key(pin.model, pin.digest)
            create_or_read(self.store, key, {"version": pin.version})  # every writer's is the same

    def _find_digest(self, model: str, digest: str) -> int | None:
        """Return the version of a digest, if the index has it and the version agrees."""
        record = read_json(self.store, _digest_key(model, digest))
        number = record.get("version") if record else None
        version = self._versions(model).read(number) if isinstance(number, int) else None
        return number if version and version.get("digest") == digest else None

    def _upload(self, file: Descriptor, path: Path, advance: Callable[[int], object]) -> int:
        key = blob_key(file.hex)
        if self.store.size(key) == file.size:
            advance(file.size)
            return 0
        self.store.upload(key, path, file.digest, advance)
        return file.size

    def _versions(self, model: str) -> Log:
        return Log(self.store, f"models/{model}/versions")

    def _alias_log(self, model: str, alias: str) -> Log:
        return Log(self.store, f"models/{check_model(model)}/aliases/{check_alias(alias)}")

    def _release_log(self, deployment: Deployment, alias: str) -> Log:
        return Log(self.store, f"releases/{deployment.key}/{check_alias(alias)}")

    def _version(self, model: str, number: int) -> Version:
        record = self._versions(model).read(number)
        if record is None:
            last = self._versions(model).last()
            if not last:
                raise self._no_model(model)
            raise ModelNotFoundError(
                f"no version {number} of model {model!r} in {self.store.uri}; the newest is {last}"
            )
        details = {k: v for k, v in record.items() if k not in ("id", "digest", "created")}
        return Version(
            pin=Pin(model, number, record["digest"]), created=record["created"], details=details
        )

    def _entry(self, model: str, alias: str, number: int) -> AliasEntry:
        record = self._alias_log(model, alias).read(number)
        if record is None:
            raise self._no_alias(model, alias)
        known = {key: record[key] for key in ("version", "created", "canary", "reason")}
        return AliasEntry(number=number, model=model, alias=alias, **known)

    def _deployment(self, key: str) -> Deployment | None:
        record = read_json(self.store, key)
        if record is None:  # removed by Terraform since it was listed
            return None
        known = {name: record[name] for name in Deployment.__slots__ if name in record}
        known["aliases"] = tuple(record["aliases"])
        return Deployment(key=PurePosixPath(key).stem, **known)

    def _release(self, log: Log, number: int) -> Release:
        record = log.read(number) or {}
        known = {name: record[name] for name in Release.__slots__ if name in record}
        return Release(number=number, **known)

    def _no_model(self, model: str) -> ModelNotFoundError:
        known = nearest(model, self.models())
        return ModelNotFoundError(f"no model {model!r} in {self.store.uri}; it has {known}")

    def _no_alias(self, model: str, alias: str) -> ModelNotFoundError:
        if not self._versions(model).last():
            return self._no_model(model)
        known = nearest(alias, self.store.folders(f"models/{model}/aliases"))
        return ModelNotFoundError(
            f"no alias {alias!r} of model {model!r} in {self.store.uri}; it has {known}"
        )


def _digest_key(model: str, digest: str) -> str:
    return f"models/{model}/digests/{digest.removeprefix('sha256:')}.json"
