"""Read records strictly: everyone who may push or promote can write them.

A record is at most 64 KiB of UTF-8 JSON. Each kind of record has one function that checks every
known field and ignores unknown fields. An invalid record raises `InvalidRecordError`, which names
the key and the field.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from shearling.bundle.json_reader import INTEGER_LIMIT, Field
from shearling.errors import BundleError, InvalidRefError, RegistryError
from shearling.refs import Pin, check_alias, check_model
from shearling.registry.records import (
    FAILED,
    RELEASED,
    STAGING,
    AliasEntry,
    Deployment,
    Release,
    Version,
)
from shearling.storage.store import TooLargeError, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.storage.store import Store

#: Size limit of a record. Parsing a record of 300 MB takes more memory than a releaser has.
RECORD_BYTES = 64 * 1024

#: Maximum depth of nested values.
_DEPTH = 16

#: Numbers of records are below this, because keys have ten digits.
NUMBER_LIMIT = 10**10

#: Allowed percentages of a canary.
PERCENT = range(1, 100)

_Record = TypeVar("_Record")


class InvalidRecordError(RegistryError):
    """The object under the key of a record is not a valid record."""


def read_record(store: Store, key: str, parse: Callable[[Field], _Record]) -> _Record | None:
    """Read and parse a record; return None if the key does not exist.

    Raises:
        InvalidRecordError: the object is not a valid record of this kind.
    """
    try:
        data = store.read(key, limit=RECORD_BYTES)
        return None if data is None else parse_record(data, parse)
    except (TooLargeError, UnreadableError, BundleError, InvalidRefError) as error:
        raise InvalidRecordError(f"{key} in {store.uri} is not a record: {error}") from error


def parse_record(data: bytes, parse: Callable[[Field], _Record]) -> _Record:
    """Parse the bytes of a record.

    Raises:
        BundleError: the bytes are not a valid record of this kind; the message names the field.
        InvalidRefError: a name in the record is not allowed.
    """
    if len(data) > RECORD_BYTES:
        raise BundleError(f"it has {len(data):,} bytes, but {RECORD_BYTES:,} are allowed")
    try:
        document = json.loads(data.decode())
    except RecursionError:
        raise BundleError("its values are nested too deep") from None
    except ValueError as error:
        raise BundleError(f"it is not JSON: {error}") from error
    _check_values(document)
    root = Field(document, "")
    root.expect(dict, "an object")
    return parse(root)


def read_version(model: str, number: int, root: Field) -> Version:
    """Read the record of a version."""
    known = ("id", "digest", "created")
    details = {name: value for name, value in root.value.items() if name not in known}  # type: ignore[attr-defined]
    pin = Pin(model, number, root["digest"].digest())
    return Version(pin=pin, created=_moment(root["created"]), details=details)


def read_indexed_version(root: Field) -> int:
    """Read the number of the version that the index names for a digest."""
    return _number(root["version"])


def read_alias_entry(model: str, alias: str, number: int, root: Field) -> AliasEntry:
    """Read an entry of an alias's log; older ones lack `by`, `before` or `rolled_back`."""
    version, rolled_back = root["version"], root.get("rolled_back", None)
    canary = _canary(root.get("canary", None))
    if canary and canary["version"] == version.value:
        canary = None  # the version itself, which gets all requests anyway
    before = None
    if "before" in root.expect(dict, "an object"):
        place = root["before"]
        # It must be older, so that following it always ends.
        before = 0 if place.value is None else _number(place, number)
    return AliasEntry(
        number=number,
        model=model,
        alias=alias,
        version=None if version.value is None else _number(version),
        created=_moment(root["created"]),
        canary=canary,
        reason=root.get("reason", "").text(),
        by=root.get("by", "").text(),
        before=before,
        force=root.get("force", False).expect(bool, "true or false"),
        rolled_back=None if rolled_back.value is None else tuple(map(_number, rolled_back.items())),
    )


def read_deployment(key: str, root: Field) -> Deployment:
    """Read the record of a deployed function."""
    # Not at the start of a function, which reads no deployments.
    from shearling.registry.endpoint_settings import read_endpoint_settings

    api_url = root.get("api_url", None)
    return Deployment(
        key=key,
        model=check_model(root["model"].text()),
        function=_name(root["function"]),
        aliases=tuple(check_alias(item.text()) for item in root["aliases"].items()),
        region=_name(root["region"]),
        account=_name(root["account"]),
        releaser=_name(root["releaser"]),
        runtime=root.get("runtime", "").text(),
        api_url=None if api_url.value is None else api_url.text(),
        stager=root.get("stager", "").text(),
        file_system=root.get("file_system", "").text(),
        events=tuple(_name(item) for item in root.get("events", []).items()),
        sagemaker=read_endpoint_settings(root.get("sagemaker", None)),
        batch=root.get("batch", "").text(),
    )


def read_release(number: int, root: Field) -> Release:
    """Read the record of a release; those of 0.1 have neither `success` nor `wrong`."""
    outcome = root["outcome"].text()
    if outcome not in (RELEASED, STAGING, FAILED):
        raise BundleError(f"{outcome!r:.80} is not an outcome", field="outcome")
    version, success = root["version"], root.get("success", None)
    wrong = root.get("wrong", None)
    timings = root.get("timings", {})
    return Release(
        number=number,
        entry=_number(root["entry"]),
        outcome=outcome,
        created=_moment(root["created"]),
        version=None if version.value is None else _number(version),
        reason=root.get("reason", "").text(),
        lambda_version=root.get("lambda_version", "").text(),
        code_sha256=root.get("code_sha256", "").text(),
        configuration=root.get("configuration", "").text(),
        timings={name: timings[name].text() for name in timings.expect(dict, "an object")},
        wrong=None if wrong.value is None else tuple(map(lambda_version, wrong.items())),
        success=None if success.value is None else _below(success, number),
    )


def lambda_version(place: Field) -> str:
    """Return the number of a Lambda version.

    Raises:
        BundleError: the value is none.
    """
    text = place.text()
    if not (text.isascii() and text.isdigit()):
        raise BundleError(f"{text!r:.80} is not the number of a Lambda version", field=place.path)
    return text


def _check_values(document: object) -> None:
    """Refuse values that canonical JSON cannot contain."""
    level: list[object] = [document]
    for _ in range(_DEPTH):
        if not level:
            return
        level = [inner for value in level for inner in _checked(value)]
    if level:
        raise BundleError("its values are nested too deep")


def _checked(value: object) -> list[object]:
    """Check one value, and return the values inside it."""
    match value:
        case dict():
            return [*value, *value.values()]
        case list():
            return value
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise BundleError(
                    "a string contains half of a surrogate pair, which UTF-8 cannot encode"
                ) from error
        case float() if not abs(value) < float("inf"):
            raise BundleError(f"{value} is not a number")
        case int() if abs(value) >= INTEGER_LIMIT:
            raise BundleError("it has a number of more than 53 bits")
    return []


def _number(place: Field, limit: int = NUMBER_LIMIT) -> int:
    number = place.expect(int, "a number")
    if not 1 <= number < limit:
        raise BundleError(f"{number} is not from 1 to {limit - 1}", field=place.path)
    return number


def _below(place: Field, limit: int) -> int:
    number = place.count()
    if number >= limit:
        raise BundleError(f"{number} is not below {limit}", field=place.path)
    return number


def _moment(place: Field) -> datetime:
    text = place.text()
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise BundleError(f"{text!r:.80} is not a time with its zone", field=place.path)


def _canary(place: Field) -> dict[str, int] | None:
    if place.value is None:
        return None
    share = {name: _number(place[name]) for name in ("version", "percent")}
    if share["percent"] not in PERCENT:
        raise BundleError(f"{share['percent']} is not from 1 to 99", field=f"{place.path}.percent")
    return share


def _name(place: Field) -> str:
    text: Any = place.text()
    if not text:
        raise BundleError("it is empty", field=place.path)
    return str(text)
