"""The differences between two contracts, and which of them break callers of the first.

A change breaks callers if a request that the first version answers is refused by the second one, or
if an answer of the second one lacks what the first one's has. What an older bundle does not record
is unknown, not lost.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shearling.bundle.contract import Contract
    from shearling.tensors.spec import Classes, Scalar, TensorSpec

Effect = Literal["breaking", "compatible", "unknown"]

#: Numbers of which every datatype that lacks a value of another one lacks one too.
_PROBES = (0.5, -1, 200, 2**11 + 1, 2**15, 2**24 + 1, 2**31, 2**53 + 1, 2**63)

#: Formats of `struct` for floats. Commands that move an alias do not import numpy.
_FLOATS = {"FP16": "<e", "FP32": "<f", "FP64": "<d"}

#: Number of names or values that a text lists at most, and the characters of each.
_LISTED, _CHARACTERS = 6, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between the contracts of two versions.

    Attributes:
        place: what differs, as in `input 'age'`.
        before: how it is in the first version; empty if it is only in the second.
        after: how it is in the second version; empty if it is only in the first.
        effect: "breaking" if callers of the first version break, "compatible" if they do not, and
            "unknown" if the bundle does not record enough to tell.
        reason: what becomes of callers; may be empty.
    """

    place: str
    before: str
    after: str
    effect: Effect = "breaking"
    reason: str = ""

    def __str__(self) -> str:
        if not self.before:
            text = f"{self.place}: {self.after} added"
        elif not self.after:
            text = f"{self.place}: {self.before} removed"
        else:
            text = f"{self.place}: {self.before} -> {self.after}"
        return f"{text} ({self.reason})" if self.reason else text


def contract_changes(before: Contract, after: Contract) -> tuple[Change, ...]:
    """Return the differences between two contracts, those of the inputs first."""
    old, new = before.signature, after.signature
    found = [*_names("input", old.inputs, new.inputs, "requests without it are refused")]
    for one, other in _pairs(old.inputs, new.inputs):
        found += [*_input(one, other), *_infinities(one, other, before)]
        found += _categories(one, other, before, after)
    if len(old.inputs) == 1 and old.inputs[0].name in new.by_name:
        found += _columns(before.columns, after.columns)
    becomes_objects = "predictions become objects, with a value for each output"
    found += _names("output", old.outputs, new.outputs, becomes_objects)
    for one, other in _pairs(old.outputs, new.outputs):
        found += [*_output(one, other), *_classes(one, other, after)]
    return (*found, *_rows(before, after))


def _pairs(
    old: Sequence[TensorSpec], new: Sequence[TensorSpec]
) -> Iterator[tuple[TensorSpec, TensorSpec]]:
    """Yield the specs of each tensor that both versions have."""
    by_name = {spec.name: spec for spec in new}
    return ((spec, by_name[spec.name]) for spec in old if spec.name in by_name)


def _names(
    kind: str, old: Sequence[TensorSpec], new: Sequence[TensorSpec], on_addition: str
) -> Iterator[Change]:
    """Compare which tensors there are.

    Args:
        kind: "input" or "output".
        old: tensors of the first version.
        new: tensors of the second version.
        on_addition: what an additional tensor does to callers, unless it is one of several outputs.
    """
    known, wanted = {spec.name for spec in old}, {spec.name for spec in new}
    added = [spec for spec in new if spec.name not in known]
    for spec in old:
        if spec.name in wanted:
            continue
        twin = next((it for it in added if replace(it, name=spec.name) == spec), None)
        if twin:
            added.remove(twin)
            yield Change(
                place=kind, before=_list([spec.name]), after=_list([twin.name]), reason="renamed"
            )
        else:
            reason = "requests with it are refused" if kind == "input" else "answers lack it"
            yield Change(place=kind, before=_spec(spec), after="", reason=reason)
    is_harmless = kind == "output" and len(old) != 1
    for spec in added:
        effect: Effect = "compatible" if is_harmless else "breaking"
        reason = "" if is_harmless else on_addition
        yield Change(place=kind, before="", after=_spec(spec), effect=effect, reason=reason)
    if kind == "input":
        yield from _order("inputs", [spec.name for spec in old], [spec.name for spec in new])


def _order(place: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    """Compare the order of the names that both versions have."""
    before, after = [it for it in old if it in new], [it for it in new if it in old]
    if before != after:
        reason = "values that are sent without names would be read as others"
        yield Change(place=place, before=_list(before), after=_list(after), reason=reason)


def _columns(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    """Compare the column names of the only input; a version without names takes any."""
    if not old:
        return
    if not new:
        reason = "rows with column names are refused"
        yield Change(place="columns", before=_list(old), after="no names", reason=reason)
        return
    removed, added = [it for it in old if it not in new], [it for it in new if it not in old]
    if removed or added:
        reason = "rows with the former column names are refused"
        yield Change(place="columns", before=_list(removed), after=_list(added), reason=reason)
    yield from _order("columns", old, new)


def _input(old: TensorSpec, new: TensorSpec) -> Iterator[Change]:
    """Compare which arrays an input accepts."""
    place = f"input {_list([old.name])}"
    if old.datatype != new.datatype:
        lost = _lost_value(old.datatype, new.datatype)
        yield Change(
            place=place,
            before=old.datatype,
            after=new.datatype,
            effect="breaking" if lost else "compatible",
            reason=f"refuses values that {new.datatype} does not have, such as {lost}"
            if lost
            else "",
        )
    if old.shape != new.shape:
        fits = len(old.shape) == len(new.shape) and all(
            size in (-1, former) for former, size in zip(old.shape, new.shape, strict=True)
        )
        yield Change(
            place=place,
            before=str([*old.shape]),
            after=str([*new.shape]),
            effect="compatible" if fits else "breaking",
            reason="" if fits else "refuses arrays of other sizes",
        )
    if old.nullable != new.nullable and {old.datatype[:2], new.datatype[:2]} == {"FP"}:
        texts = {True: "missing values accepted", False: "missing values refused"}
        yield Change(
            place=place,
            before=texts[old.nullable],
            after=texts[new.nullable],
            effect="breaking" if old.nullable else "compatible",
        )


def _infinities(old: TensorSpec, new: TensorSpec, before: Contract) -> Iterator[Change]:
    """Compare whether an input of floats accepts infinite values."""
    if old.finite == new.finite or {old.datatype[:2], new.datatype[:2]} != {"FP"}:
        return
    texts = {False: "infinite values accepted", True: "infinite values refused"}
    effect: Effect = "compatible"
    reason = ""
    if new.finite:
        effect = "breaking" if before.is_complete else "unknown"
        reason = "" if before.is_complete else "the first push did not ask its model about them"
    yield Change(
        place=f"input {_list([old.name])}",
        before=texts[old.finite],
        after=texts[new.finite],
        effect=effect,
        reason=reason,
    )


def _lost_value(old: str, new: str) -> str:
    """Return a value of one datatype that another one does not have; empty if it has all."""
    if "BYTES" in (old, new):
        return "'a'" if old == "BYTES" else "1"
    lost = (str(value) for value in _PROBES if _has(old, value) and not _has(new, value))
    return next(lost, "")


def _has(datatype: str, value: float) -> bool:
    """Return whether a number, other than 0 and 1, is a value of a datatype."""
    if code := _FLOATS.get(datatype):
        try:
            (rounded,) = struct.unpack(code, struct.pack(code, float(value)))
        except OverflowError:
            return False
        return bool(rounded == value)
    kind, _, bits = datatype.partition("INT")
    if not bits:
        return False  # BOOL
    limit = 2 ** (int(bits) - (kind != "U"))
    return value == int(value) and (0 if kind else -limit) <= value < limit


def _categories(
    old: TensorSpec, new: TensorSpec, before: Contract, after: Contract
) -> Iterator[Change]:
    """Compare the values that each column of an input accepts."""
    for i, (known, left) in enumerate(zip_longest(old.categories or (), new.categories or ())):
        if not left or known == left:
            continue
        names = after.columns if len(new.shape) > 1 else ()
        column = f"column {_list([names[i]])}" if i < len(names) else f"input {_list([new.name])}"
        is_recorded = bool(old.categories) or before.is_complete
        lost = known and [value for value in known if not _is_in(value, left)]
        reason = "refuses other values"
        if lost:
            reason = f"refuses {_list(lost)}"
        elif not is_recorded:
            reason += "; what the first version accepts is not recorded"
        breaks = bool(lost) or (known is None and is_recorded)
        yield Change(
            place=f"categories of {column}",
            before=_list(known) if known else "any value",
            after=_list(left),
            effect="breaking" if breaks else "compatible" if known else "unknown",
            reason=reason if breaks or not known else "",
        )


def _is_in(value: Scalar, values: Sequence[Scalar]) -> bool:
    # NaN is a category too.
    return value in values or (value != value and any(it != it for it in values))  # noqa: PLR0124


def _output(old: TensorSpec, new: TensorSpec) -> Iterator[Change]:
    """Compare the arrays that an output has."""
    place = f"output {_list([old.name])}"
    if old.datatype != new.datatype:
        yield Change(place=place, before=old.datatype, after=new.datatype)
    if old.shape != new.shape:
        fits = len(old.shape) == len(new.shape) and all(
            former in (-1, size) for former, size in zip(old.shape, new.shape, strict=True)
        )
        yield Change(
            place=place,
            before=str([*old.shape]),
            after=str([*new.shape]),
            effect="compatible" if fits else "breaking",
        )


def _classes(old: TensorSpec, new: TensorSpec, after: Contract) -> Iterator[Change]:
    """Compare what the columns of an output mean."""
    if _typed(old.classes) == _typed(new.classes):
        return
    effect: Effect = "breaking"
    if not old.classes:
        effect = "compatible"  # callers of the first version had no names to rely on
    elif not new.classes and not after.is_complete:
        effect = "unknown"
    yield Change(
        place=f"classes of output {_list([old.name])}",
        before=_list(old.classes or ()),
        after=_list(new.classes or ()) or ("not recorded" if effect == "unknown" else ""),
        effect=effect,
    )


def _typed(classes: Classes | None) -> str:
    """Return classes with their types, since 1, 1.0, True and "1" differ for a caller."""
    return repr(classes or ())


def _rows(before: Contract, after: Contract) -> Iterator[Change]:
    old, new = before.signature.independent_rows, after.signature.independent_rows
    if old == new:
        return
    texts = {True: "independent of each other", False: "dependent on each other"}
    effect: Effect = "compatible"
    if old:
        effect = "breaking" if before.is_complete else "unknown"
    reason = "`infer_many` cannot split rows into calls" if old else ""
    yield Change(
        place="answers to rows", before=texts[old], after=texts[new], effect=effect, reason=reason
    )


def _spec(spec: TensorSpec) -> str:
    return f"{_list([spec.name])} {spec.datatype}{[*spec.shape]}"


def _list(values: Sequence[object]) -> str:
    """Return the first of several names or values as text."""
    shown = [f"{value!r:.{_CHARACTERS}}" for value in values[:_LISTED]]
    more = len(values) - _LISTED
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
