"""Find the objects of a run: what its inputs name, without what is no data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.batches.globs import Pattern
from shearling.batches.places import Place, check_utf8, output_place, parse_place
from shearling.errors import InvalidRequestError
from shearling.scoring.file_names import ERROR, MANIFEST, REJECTED
from shearling.scoring.formats import SUFFIXES, format_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.batches.places import Places
    from shearling.batches.run_document import RunDocument
    from shearling.scoring.formats import Format
    from shearling.storage.conditional import ListedObjects, ObjectState

#: Endings of the files beside a scored object's output.
_RESULTS = (MANIFEST, ERROR, REJECTED)

#: What names begin with that Hadoop and Spark ignore, too: `_SUCCESS`, `_run/`, `.part.crc`.
_HIDDEN = ("_", ".")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSource:
    """An object that a run scores.

    Attributes:
        bucket: its bucket.
        key: its key.
        name: its key without the folder of the input that names it.
        state: its state.
        format: its format.
    """

    bucket: str
    key: str
    name: str
    state: ObjectState
    format: Format


class Inputs:
    """The inputs of a run.

    Args:
        run: what the run is asked for.

    Raises:
        InvalidRequestError: an input is malformed, or would have the run's own outputs.

    Attributes:
        ignored: number of objects that were named and are no data.
    """

    def __init__(self, run: RunDocument) -> None:
        places = [parse_place(text, f"inputs[{i}]") for i, text in enumerate(run.inputs)]
        self._patterns = [(place, Pattern(place.key)) for place in places]
        self._format = run.input_format
        self.ignored = 0
        self._output = output_place(run.output)
        self._check_apart()

    def find(self, places: Places) -> Iterator[FoundSource]:
        """Yield the objects, each once, in the order of inputs and keys.

        Raises:
            InvalidRequestError: an input names no data, an object of an unknown format or name,
                or the run's own outputs.
            StoreError: a bucket cannot be listed.
        """
        self._patterns = [
            (place, _meant(pattern, places.objects(place.bucket)))
            for place, pattern in self._patterns
        ]
        self._check_apart()
        seen = set[tuple[str, str]]()
        for place, pattern in self._patterns:
            ignored, count = self.ignored, 0
            for key, state in places.objects(place.bucket).list(pattern.prefix):
                if not pattern.matches(key):
                    continue
                is_named = key == pattern.text
                if state.size == 0 or (not is_named and is_hidden(pattern.name(key))):
                    self.ignored += 1
                    continue
                count += 1
                if len(self._patterns) > 1:
                    if (place.bucket, key) in seen:
                        continue
                    seen.add((place.bucket, key))
                yield self._source(Place(place.bucket, key), pattern.name(key), state)
            if not count:
                raise _nothing(place, self.ignored - ignored)

    def name(self, place: Place) -> bool:
        """Return whether an input names a place."""
        return any(
            of.bucket == place.bucket and pattern.matches(place.key)
            for of, pattern in self._patterns
        )

    def _check_apart(self) -> None:
        for place, pattern in self._patterns:
            _check_apart(place, pattern, self._output)

    def _source(self, place: Place, name: str, state: ObjectState) -> FoundSource:
        check_utf8(str(place), "inputs")
        try:
            kind = self._format or format_of(place.key)
        except InvalidRequestError as error:
            raise InvalidRequestError(
                f"inputs: {str(place)!r:.300} is none of {', '.join(SUFFIXES)}: name the data "
                "alone, as in `*.csv`, or give the format of all inputs as `input_format`. "
                "Compressed objects cannot be read in parts; Parquet is compressed by itself"
            ) from error
        return FoundSource(bucket=place.bucket, key=place.key, name=name, state=state, format=kind)


def is_hidden(name: str) -> bool:
    """Return whether an object is no data by its name: a result's file, or hidden by convention."""
    return name.endswith(_RESULTS) or any(part.startswith(_HIDDEN) for part in name.split("/"))


def _meant(pattern: Pattern, objects: ListedObjects) -> Pattern:
    """Return a pattern, of which the name of an object, or of its folders, may be a part.

    A shell, or Python's `glob`, returns names. One with brackets would name other objects, if any;
    so would a pattern within a directory whose name has brackets.
    """
    text = pattern.text
    if "[" not in text:
        return pattern
    name = Pattern(text, named=len(text))
    if any(name.matches(key) for key, _ in objects.list(name.prefix)):
        return name
    folders = [i for i, character in enumerate(text) if character == "/" and "[" in text[:i]]
    # Only directories of this machine have a state.
    named = max((i + 1 for i in folders if objects.state(text[:i]) is not None), default=0)
    return Pattern(text, named=named)


def _check_apart(place: Place, pattern: Pattern, output: Place) -> None:
    """Refuse an input that is in the output, or has it.

    Raises:
        InvalidRequestError: the output would be an input of the next run, or the other way round.
    """
    if place.bucket != output.bucket:
        return
    is_within = pattern.folder.startswith(output.key)
    if is_within or any(pattern.matches(f"{output.key}a{suffix}") for suffix in SUFFIXES):
        raise InvalidRequestError(
            f"output: {str(output)!r:.200} {'has' if is_within else 'is in'} the input "
            f"{str(place)!r:.200}: write to a prefix apart from all inputs"
        )


def _nothing(place: Place, ignored: int) -> InvalidRequestError:
    others = f" but {ignored} that are empty, hidden or results" if ignored else ""
    return InvalidRequestError(
        f"inputs: {str(place)!r:.300} names no objects{others}: check the "
        f"{'path' if place.is_local else 'bucket and the key'}. `*` stays within a folder, `**` "
        "does not"
    )
