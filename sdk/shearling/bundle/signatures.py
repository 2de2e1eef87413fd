"""The signature in a manifest, read strictly and written again as the same JSON.

A class or category that canonical JSON cannot carry as a number is `{"number": "0.5"}`, so that it
differs from the string "0.5".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shearling.bundle.json_reader import INTEGER_LIMIT
from shearling.errors import BundleError
from shearling.tensors.spec import DATATYPES, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.bundle.json_reader import Field
    from shearling.tensors.spec import Categories, Classes, Content, Scalar

#: What a manifest requires if its signature has known categories: a reader that does not refuse the
#: other values would serve invented answers.
CATEGORIES = "categories"

#: What a manifest requires if an input takes pictures: another reader would decode them as texts.
IMAGE = "image"

#: Dimensions of an output of several targets: rows, targets, classes.
_OF_TARGETS = 3


def requirements(signature: Signature) -> tuple[str, ...]:
    """Return the features that a reader of a signature must know."""
    inputs = signature.inputs
    needed = {
        CATEGORIES: any(spec.categories for spec in inputs),
        IMAGE: any(spec.content for spec in inputs),
    }
    return tuple(name for name, is_needed in needed.items() if is_needed)


def signature_document(signature: Signature) -> dict[str, object]:
    """Return the JSON document of a signature."""
    document: dict[str, object] = {
        "inputs": [_spec_document(spec) for spec in signature.inputs],
        "outputs": [_spec_document(spec) for spec in signature.outputs],
    }
    if not signature.independent_rows:
        document["independent_rows"] = False
    return document


def read_signature(place: Field) -> Signature:
    """Read a signature.

    Raises:
        BundleError: it is invalid; the message names the field.
    """
    return Signature(
        inputs=_read_specs(place["inputs"], _read_input),
        outputs=_read_specs(place["outputs"], _read_output),
        independent_rows=place.get("independent_rows", True).expect(bool, "true or false"),
    )


def _spec_document(spec: TensorSpec) -> dict[str, object]:
    document: dict[str, object] = {
        "name": spec.name,
        "datatype": spec.datatype,
        "shape": list(spec.shape),
    }
    if not spec.nullable:
        document["nullable"] = False
    if spec.finite:
        document["finite"] = True
    if spec.classes:
        document["classes"] = _written(spec.classes)
    if spec.categories:
        document["categories"] = _written(spec.categories)
    if spec.content:
        document["content"] = spec.content
    return document


def _written(value: Any) -> object:
    """Return a scalar, or tuples of scalars, as canonical JSON can carry them."""
    match value:
        case tuple():
            return [_written(item) for item in value]
        case float():
            return {"number": repr(value)}
        case int() if abs(value) >= INTEGER_LIMIT:
            return {"number": repr(value)}
    return value


def _read_specs(place: Field, read: Callable[[Field], TensorSpec]) -> tuple[TensorSpec, ...]:
    specs = tuple(read(item) for item in place.items())
    if not specs:
        raise BundleError("a signature needs at least one tensor", field=place.path)
    if len({spec.name for spec in specs}) < len(specs):
        raise BundleError("two tensors have the same name", field=place.path)
    return specs


def _read_input(place: Field) -> TensorSpec:
    datatype, shape = _read_datatype(place), _read_shape(place)
    return TensorSpec(
        name=place["name"].text(),
        datatype=datatype,
        shape=shape,
        nullable=place.get("nullable", True).expect(bool, "true or false"),
        finite=place.get("finite", False).expect(bool, "true or false"),
        categories=_read_categories(place.get("categories", None), datatype, shape),
        content=_read_content(place.get("content", None), datatype, shape),
    )


def _read_output(place: Field) -> TensorSpec:
    shape = _read_shape(place)
    return TensorSpec(
        name=place["name"].text(),
        datatype=_read_datatype(place),
        shape=shape,
        nullable=place.get("nullable", True).expect(bool, "true or false"),
        classes=_read_classes(place.get("classes", None), shape),
    )


def _read_datatype(place: Field) -> str:
    datatype = place["datatype"].text()
    if datatype not in DATATYPES:
        raise BundleError(
            f"{datatype!r:.80} is not one of {', '.join(sorted(DATATYPES))}",
            field=f"{place.path}.datatype",
        )
    return datatype


def _read_shape(place: Field) -> tuple[int, ...]:
    shape = tuple(item.expect(int, "an integer") for item in place["shape"].items())
    if any(size < -1 for size in shape):
        raise BundleError(
            f"{list(shape)} has a size below -1 (-1 is any size)", field=f"{place.path}.shape"
        )
    return shape


def _read_content(place: Field, datatype: str, shape: tuple[int, ...]) -> Content | None:
    if place.value is None:
        return None
    if place.value != IMAGE or datatype != "BYTES" or shape != (-1,):
        raise BundleError(
            f"{place.value!r:.80} for {datatype}{list(shape)}: only 'image' for BYTES[-1] is known",
            field=place.path,
        )
    return "image"


def _read_classes(place: Field, shape: tuple[int, ...]) -> Classes | None:
    if place.value is None:
        return None
    items = list(place.items())
    if len(shape) == _OF_TARGETS and items and isinstance(items[0].value, list):
        _check_count(place, len(items), shape[-2], "targets")
        return tuple(_read_target(item, shape[-1]) for item in items)
    if len(shape) <= 1:
        raise BundleError("an output of one dimension has no columns to name", field=place.path)
    return _read_target(place, shape[-1])


def _read_target(place: Field, columns: int) -> tuple[Scalar, ...]:
    classes = _read_values(place)
    _check_count(place, len(classes), columns, "columns")
    return classes


def _read_categories(place: Field, datatype: str, shape: tuple[int, ...]) -> Categories | None:
    if place.value is None:
        return None
    columns = tuple(
        None if item.value is None else _read_column(item, datatype) for item in place.items()
    )
    if shape[1:] and shape[-1] == -1:
        raise BundleError("the input has any number of columns", field=place.path)
    _check_count(place, len(columns), shape[-1] if shape[1:] else 1, "columns")
    return columns


def _read_column(place: Field, datatype: str) -> tuple[Scalar, ...]:
    """Read the known values of a column, in the type that a tensor's elements have in Python."""
    values = _read_values(place)
    kind = {"BYTES": str, "BOOL": bool}.get(datatype, float if "FP" in datatype else int)
    for i, value in enumerate(values):
        if type(value) is not kind and (kind is not float or type(value) is not int):
            raise BundleError(
                f"{value!r:.80} is not a value of {datatype}", field=f"{place.path}[{i}]"
            )
    return tuple(map(float, values)) if kind is float else values


def _read_values(place: Field) -> tuple[Scalar, ...]:
    values = tuple(_read_value(item) for item in place.items())
    if not values:
        raise BundleError("there are no values", field=place.path)
    if len({type(value) for value in values}) > 1:
        raise BundleError("the values are of several types", field=place.path)
    if len(set(map(repr, values))) < len(values):
        raise BundleError("two values are the same", field=place.path)
    return values


def _read_value(place: Field) -> Scalar:
    if isinstance(place.value, dict):
        return _read_number(place["number"])
    if not isinstance(place.value, str | bool | int):
        raise BundleError(f"{place.value!r:.80} is not a class or category", field=place.path)
    return place.value


def _read_number(place: Field) -> int | float:
    text = place.text()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise BundleError(f"{text!r:.80} is not a number", field=place.path)


def _check_count(place: Field, count: int, size: int, what: str) -> None:
    if size not in (-1, count):
        raise BundleError(f"{count} entries for {size} {what}", field=place.path)
