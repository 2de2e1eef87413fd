"""The registry of models: publish, resolve and fetch bundles, and set aliases.

Blobs are immutable and named by their digest. Versions and aliases are numbered records, and the
record with the highest number is current.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.bundle.digests import Descriptor, digest_of
from shearling.bundle.manifest import Manifest
from shearling.errors import BundleError, IntegrityError, ModelNotFoundError, RegistryError
from shearling.refs import Pin, Ref, check_model, is_alias, is_model, nearest
from shearling.registry.alias_log import AliasLog
from shearling.registry.records import Published
from shearling.registry.version_log import VersionLog
from shearling.storage.blobs import Fetched, blob_key, fetch_blobs
from shearling.storage.proving import put_blob
from shearling.storage.store import open_store
from shearling.storage.uris import DirectoryPlace, parse_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from shearling.registry.records import AliasEntry, Version
    from shearling.registry.release_log import ReleaseLog
    from shearling.storage.store import Store

#: Environment variable with the URI of the registry.
REGISTRY_VARIABLE = "SHEARLING_REGISTRY"


@contextmanager
def naming_verify(pin: Pin) -> Iterator[None]:
    """Have the error of a damaged bundle name the command that tells which blobs are wrong."""
    try:
        yield
    except IntegrityError as error:
        raise error.advised(f"`shearling verify {pin}` tells which blobs are wrong") from error


def _uri(uri: object) -> str:
    """Return the URI as text, by default that of SHEARLING_REGISTRY."""
    given = uri or os.environ.get(REGISTRY_VARIABLE, "")
    name = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(name, str):
        raise RegistryError(
            f"registry {uri!r:.80}: expected s3://bucket/prefix, a directory, or memory://name"
        )
    if not name:
        raise RegistryError(
            f"no registry: pass registry=..., or set {REGISTRY_VARIABLE} to a directory or "
            "to Terraform's output `registry_uri`"
        )
    return name


def _require_directory(uri: str) -> None:
    """Refuse the URI of a directory that does not exist; every other place may be empty."""
    place = parse_uri(uri)
    if not isinstance(place, DirectoryPlace):
        return
    try:
        place.path.stat()
    except FileNotFoundError as error:
        raise ModelNotFoundError(
            f"there is no registry at {place}: the directory does not exist. Correct the path, or "
            "push a first model, which creates the registry"
        ) from error
    except OSError:
        pass  # opening it tells what is wrong


class Registry:
    """A registry of models.

    Args:
        uri: `s3://bucket/prefix`, a directory, or `memory://name`; by default the value of the
            environment variable SHEARLING_REGISTRY.
        store: an opened store, instead of a URI.

    Raises:
        RegistryError: neither a URI nor SHEARLING_REGISTRY is set.
        StoreError: the store cannot be opened.
    """

    def __init__(
        self, uri: str | os.PathLike[str] | None = None, *, store: Store | None = None
    ) -> None:
        self.store = open_store(_uri(uri)) if store is None else store

    @classmethod
    def at(cls, registry: str | os.PathLike[str] | Registry | None) -> Registry:
        """Return the given registry, or open one at a URI or at SHEARLING_REGISTRY."""
        return registry if isinstance(registry, Registry) else cls(registry)

    @classmethod
    def existing(cls, registry: str | os.PathLike[str] | Registry | None) -> Registry:
        """Return a registry as `at` does, but create no directory.

        Raises:
            ModelNotFoundError: the directory does not exist.
        """
        if not isinstance(registry, Registry):
            _require_directory(_uri(registry))
        return cls.at(registry)

    def __repr__(self) -> str:
        return f"Registry({self.store.uri!r})"

    def version_log(self, model: str) -> VersionLog:
        """Return the versions of a model."""
        return VersionLog(self.store, model)

    def alias_log(self, model: str, alias: str) -> AliasLog:
        """Return the entries of an alias."""
        return AliasLog(self.store, model, alias)

    @property
    def release_log(self) -> ReleaseLog:
        """The deployed functions, and the outcome of each alias entry on them."""
        from shearling.registry.release_log import ReleaseLog

        return ReleaseLog(self.store)

    # Reading

    def models(self) -> list[str]:
        """Return the names of all models with at least one version."""
        names = filter(is_model, self.store.folders("models"))
        return [name for name in names if self.version_log(name).last()]

    def versions(self, model: str) -> list[Version]:
        """Return all versions of a model, oldest first.

        Raises:
            ModelNotFoundError: the model does not exist.
        """
        found = self.version_log(check_model(model)).all()
        if not found:
            raise self._no_version(model)
        return found

    def version(self, ref: str | Ref | Pin) -> Version:
        """Return the record of the version that a ref names.

        Raises:
            ModelNotFoundError: the model, version or alias does not exist.
        """
        pin = self.resolve(ref)
        return self._version(pin.model, pin.version)

    def aliases(self, model: str) -> dict[str, AliasEntry]:
        """Return the current entry of every alias of a model that has not ended, by name."""
        entries = {name: self.alias_entry(model, name) for name in self._alias_names(model)}
        return {
            name: entry for name, entry in entries.items() if entry and entry.version is not None
        }

    def alias_entry(self, model: str, alias: str) -> AliasEntry | None:
        """Return the current entry of an alias, or None if it was never set."""
        return self.alias_log(model, alias).newest()

    def history(self, model: str, alias: str) -> list[AliasEntry]:
        """Return every entry in the log of an alias, oldest first."""
        return list(self.alias_log(model, alias).down_from())[::-1]

    def resolve(self, ref: str | Ref | Pin) -> Pin:
        """Return the pin of the version that a ref currently names.

        Raises:
            InvalidRefError: the ref is malformed.
            ModelNotFoundError: the model, version or alias does not exist.
        """
        if isinstance(ref, Pin):
            return ref
        if not isinstance(ref, Ref):
            ref = Ref.parse(ref)
        number = ref.selector
        if isinstance(number, int) and ref.digest:
            return Pin(ref.model, number, ref.digest)
        if number is None:
            newest = self.version_log(ref.model).newest()
            if newest is None:
                raise self._no_version(ref.model)
            return newest.pin
        if isinstance(number, str):
            entry = self.alias_entry(ref.model, number)
            if entry is None or entry.version is None:
                raise self._no_alias(ref.model, number, is_ended=entry is not None)
            number = entry.version
        return self._version(ref.model, number).pin

    def manifest(self, ref: str | Ref | Pin) -> Manifest:
        """Return the manifest of the version that a ref names, after verifying its digest.

        Raises:
            ModelNotFoundError: the model, version or alias does not exist, or its manifest is
                missing.
            IntegrityError: the stored manifest differs from the pushed one.
            BundleError: the manifest is invalid, or belongs to another model.
        """
        pin = self.resolve(ref)
        data = self.store.read(blob_key(pin.hex))
        if data is None:
            raise ModelNotFoundError(f"the manifest of {pin} is not in {self.store.uri}")
        if digest_of(data) != pin.digest:
            raise IntegrityError(
                f"the manifest of {pin} ({blob_key(pin.hex)} in {self.store.uri})",
                expected=pin.digest,
                actual=digest_of(data),
            )
        manifest = Manifest.from_bytes(data)
        if manifest.model != pin.model:
            raise BundleError(
                f"the bundle of {pin} belongs to model {manifest.model!r}", field="model"
            )
        return manifest

    def fetch(
        self,
        manifest: Manifest,
        directory: Path,
        advance: Callable[[int], object] = int,
        *,
        durable: bool = True,
        shared: bool = True,
    ) -> Fetched:
        """Fetch and verify the files of a bundle to `directory/<hex>`; see `fetch_blobs`."""
        return fetch_blobs(
            self.store, manifest.files, directory, advance, durable=durable, shared=shared
        )

    def manifest_descriptor(self, pin: Pin) -> Descriptor:
        """Return the descriptor of a manifest, which `fetch_blobs` accepts like a file's."""
        size = self.store.size(blob_key(pin.hex)) or 0
        return Descriptor(path="manifest.json", digest=pin.digest, size=size)

    # Writing

    def publish(
        self,
        manifest: Manifest,
        files: Mapping[str, Path],
        details: Mapping[str, Any],
        advance: Callable[[int], object] = int,
    ) -> Published:
        """Upload a bundle as the next version, or return the existing version of the same bundle.

        Args:
            manifest: manifest of the bundle.
            files: local file of each path in the manifest.
            details: fields for the version's record.
            advance: called with the number of bytes of each part that was uploaded, and of each
                file that the registry already had.

        Raises:
            BundleError: the manifest is invalid.
            IntegrityError: a file changed during the upload, or a blob in the store is damaged and
                the store does not permit a repair; no version was created.
            StoreError: the store failed; no version was created.
        """
        data = manifest.to_bytes()
        Manifest.from_bytes(data)  # refuses a manifest that readers could not read
        digest = digest_of(data)
        # The blobs of an existing version too: a damaged one would fail every start.
        sent = sum(put_blob(self.store, one, files[one.path], advance) for one in manifest.files)
        with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
            path = Path(directory, "manifest.json")
            path.write_bytes(data)
            described = Descriptor(path=path.name, digest=digest, size=len(data))
            sent += put_blob(self.store, described, path)
        number, is_new = self.version_log(manifest.model).commit(digest, details)
        return Published(self._version(manifest.model, number), is_new, sent)

    def set_alias(
        self,
        model: str,
        alias: str,
        version: int | None,
        *,
        canary: Mapping[str, int] | None = None,
        reason: str = "",
        by: str | None = None,
        check: Callable[[AliasEntry | None], object] = bool,
    ) -> AliasEntry:
        """Append an entry to the log of an alias, which makes it name a version.

        Args:
            model: name of the model.
            alias: name of the alias.
            version: version number that the alias names; None ends the alias.
            canary: version and percentage of a canary, as in `{"version": 8, "percent": 10}`.
            reason: text for the entry.
            by: who sets the alias; by default the caller that AWS knows, see `caller`.
            check: called with the current entry before each attempt to append the next one; raises
                an error to append none.

        Raises:
            ModelNotFoundError: the model or version does not exist.
        """
        log = self.alias_log(model, alias)
        if version is not None:
            self._version(model, version)
        if canary:
            self._version(model, canary["version"])
        by = self.caller() if by is None else by
        return log.append(version, canary, reason=reason, by=by, check=check)

    def replace_entry(
        self,
        current: AliasEntry,
        version: int,
        reason: str,
        *,
        before: int = 0,
        force: bool = False,
        rolled_back: Iterable[int] = (),
    ) -> AliasEntry | None:
        """Append an entry if `current` is still the newest one; return None if it is not.

        Args:
            current: newest entry that the caller knows.
            version: number of the version.
            reason: text for the entry.
            before: number of the entry that a rollback returns to; 0 if there is none.
            force: whether the version is released again without a check.
            rolled_back: versions that no rollback may return to.
        """
        log = self.alias_log(current.model, current.alias)
        return log.replace(
            current,
            version,
            reason=reason,
            before=before,
            by=self.caller(),
            force=force,
            rolled_back=rolled_back,
        )

    def caller(self) -> str:
        """Return the name of who writes records: the caller's ARN in S3, else the local user."""
        from shearling.storage.caller import caller

        return caller(self.store)

    def _alias_names(self, model: str) -> list[str]:
        return [
            name
            for name in self.store.folders(f"models/{check_model(model)}/aliases")
            if is_alias(name)
        ]

    def _version(self, model: str, number: int) -> Version:
        versions = self.version_log(model)
        version = versions.read(number)
        if version is None:
            last = versions.last()
            if not last:
                raise self._no_model(model)
            raise ModelNotFoundError(
                f"no version {number} of model {model!r} in {self.store.uri}; the newest is {last}"
            )
        return version

    def _no_version(self, model: str) -> RegistryError:
        """Return why a model has no version: there is none, or no record of one can be read."""
        try:
            self._version(model, self.version_log(model).last() or 1)
        except RegistryError as error:
            return error
        return self._no_model(model)

    def _no_model(self, model: str) -> ModelNotFoundError:
        known = nearest(model, self.models())
        return ModelNotFoundError(f"no model {model!r} in {self.store.uri}; its models: {known}")

    def _no_alias(self, model: str, alias: str, *, is_ended: bool) -> ModelNotFoundError:
        if not self.version_log(model).last():
            return self._no_model(model)
        known = nearest(alias, [*self.aliases(model)])
        if is_ended:
            return ModelNotFoundError(
                f"{model}:{alias} names no version, because it was deleted in {self.store.uri}: "
                f"`shearling rollback {model} {alias}` restores it; the model's aliases: {known}"
            )
        return ModelNotFoundError(
            f"no alias {alias!r} of model {model!r} in {self.store.uri}; its aliases: {known}"
        )
