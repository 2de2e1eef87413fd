"""Plan a run: find its objects, cut large ones into parts, and write a request for each part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

import orjson

from shearling.batches.cuts import parts_of
from shearling.batches.file_names import MANIFEST, PLAN, RUN, SUCCESS
from shearling.batches.places import Place
from shearling.batches.plan_document import Plan
from shearling.batches.run_files import RunFiles, json_bytes
from shearling.batches.sources import Inputs
from shearling.errors import InvalidRequestError
from shearling.scoring.formats import SUFFIXES, output_format_of, renamed
from shearling.scoring.request import Output, ScoreRequest, Source
from shearling.scoring.sink import aborted_sink
from shearling.storage.conditional import ConditionFailedError, discard_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.batches.places import Places
    from shearling.batches.run_document import RunDocument
    from shearling.batches.sources import FoundSource
    from shearling.scoring.formats import Format
    from shearling.scoring.parts import Part

#: Objects that are cut at a time, and that are handed to the threads together.
_THREADS, _TOGETHER = 8, 256

#: Digits of a part's number: the largest object has fewer parts, and names are in order.
_DIGITS = 5


def read_plan(run: RunDocument, places: Places) -> Plan | None:
    """Return the plan that a run already has; None without one.

    Raises:
        InvalidRequestError: the output has the plan of another run.
        StoreError: the output cannot be read.
    """
    files = RunFiles.of(run, places)
    found = files.plan()
    if found is not None and found.run.run != run.run:
        raise InvalidRequestError(
            f"output: {str(files.place)!r:.200} has the run {found.run.run}: write to another "
            f"prefix. To score what that run has not, redrive it: shearling batch redrive "
            f"{files.place}"
        )
    return found


def plan(
    run: RunDocument,
    places: Places,
    *,
    pin: str,
    function: str = "",
    memory_mb: int | None = None,
) -> Plan:
    """Plan a run, or begin again what is planned already.

    Parts that are finished stay finished: scoring one again finds its result.

    Args:
        run: what the run is asked for.
        places: opens the buckets.
        pin: pin of the model that answers all parts.
        function: ARN of the function with the version that answers.
        memory_mb: memory of the function.

    Raises:
        InvalidRequestError: the run cannot be done; nothing was scored.
        StoreError: a store refuses or fails.
    """
    files, inputs = RunFiles.of(run, places), Inputs(run)
    found = read_plan(run, places)
    if found is None:
        _check_empty(files)
        found = Plan(run=run, pin=pin, created="")
        try:
            # Claims the output, so that no other run begins there meanwhile.
            files.objects.put(files.key(RUN), json_bytes(found.document()), replaces=None)
        except ConditionFailedError:
            found = read_plan(run, places) or found
    if found.pin != pin:
        raise InvalidRequestError(
            f"pin: the parts of {run.run} are scored by {found.pin}, not by {pin:.200}"
        )
    if found.parts:
        for name in (SUCCESS, MANIFEST):  # which are about the attempt before
            discard_object(files.objects, files.key(name))
    else:
        found = _planned(found, inputs, places, files)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    found = replace(found, function=function, memory_mb=memory_mb, created=created)
    files.write(RUN, found.document())
    return found


def _check_empty(files: RunFiles) -> None:
    """Refuse an output that has objects: they would be taken for results of the run."""
    key = next((key for key, _ in files.objects.list(files.place.key)), None)
    if key is not None:
        raise InvalidRequestError(
            f"output: {str(files.place)!r:.200} is not empty: it has "
            f"{key.removeprefix(files.place.key)!r:.200}. Write to a prefix without objects"
        )


def _planned(claim: Plan, inputs: Inputs, places: Places, files: RunFiles) -> Plan:
    """Write the plan's lines; if that is impossible, the output is free again."""
    try:
        return _Parts(claim.run, inputs, places, files.place).write(files, claim)
    except InvalidRequestError:
        discard_object(files.objects, files.key(RUN))
        raise


class _Parts:
    """The parts of a run, as they are found."""

    def __init__(self, run: RunDocument, inputs: Inputs, places: Places, output: Place) -> None:
        self._run = run
        self._inputs = inputs
        self._places = places
        self._output = output
        self._keys = set[str]()
        self._sources = self._bytes = self._count = 0

    def write(self, files: RunFiles, claim: Plan) -> Plan:
        """Write the plan's lines, and return the plan."""
        key = files.key(PLAN)
        state = files.objects.state(key)  # of an attempt that was stopped
        with aborted_sink(files.objects, key) as sink:
            for request in self._requests():
                sink.write(orjson.dumps(request.document(), option=orjson.OPT_APPEND_NEWLINE))
            sink.finish(state.etag if state else None)
        return replace(
            claim,
            parts=self._count,
            sources=self._sources,
            bytes=self._bytes,
            ignored=self._inputs.ignored,
        )

    def _requests(self) -> Iterator[ScoreRequest]:
        sources = self._inputs.find(self._places)
        with ThreadPoolExecutor(_THREADS, "plan") as pool:
            while some := [*islice(sources, _TOGETHER)]:  # limits the memory
                for source, parts in zip(some, pool.map(self._cut, some), strict=True):
                    self._sources += 1
                    self._bytes += source.state.size
                    yield from self._requests_of(source, parts)

    def _cut(self, source: FoundSource) -> list[Part]:
        objects, size = self._places.objects(source.bucket), self._run.part_bytes
        return parts_of(objects, source.key, source.state, source.format, size)

    def _requests_of(self, source: FoundSource, parts: list[Part]) -> Iterator[ScoreRequest]:
        run, kind = self._run, self._run.output_format or output_format_of(source.format)
        for i, part in enumerate(parts or [None]):
            key = self._output.key + output_name(source.name, kind, i if part else None)
            self._check_key(key, source)
            self._count += 1
            yield ScoreRequest(
                source=Source(
                    bucket=source.bucket,
                    key=source.key,
                    etag=source.state.etag,
                    size=source.state.size,
                    format=source.format,
                    if_match=True,
                    part=part,
                ),
                output=Output(
                    bucket=self._output.bucket,
                    key=key,
                    kms_key_arn=run.kms_key_arn,
                    format=kind,
                ),
                options=run.options,
                event=run.run,
            )

    def _check_key(self, key: str, source: FoundSource) -> None:
        if key in self._keys:
            raise InvalidRequestError(
                f"inputs: the output of {str(Place(source.bucket, source.key))!r:.300} would be "
                f"{key!r:.300}, as that of another object: score them by runs of their own"
            )
        self._keys.add(key)
        if self._inputs.name(Place(self._output.bucket, key)):
            raise InvalidRequestError(
                f"output: {key!r:.300} would be an input of the run: write to a prefix apart from "
                "all inputs"
            )


def output_name(name: str, kind: Format, part: int | None) -> str:
    """Return the name of an output.

    Args:
        name: name of the source below its folder.
        kind: format of the output.
        part: number of the part, from 0; None: the whole source.
    """
    whole = renamed(name, kind)
    if part is None:
        return whole
    suffix = next(suffix for suffix in SUFFIXES if whole.lower().endswith(suffix))
    stem = whole[: len(whole) - len(suffix)]
    return f"{stem}.part-{part:0{_DIGITS}}{whole[len(stem) :]}"
