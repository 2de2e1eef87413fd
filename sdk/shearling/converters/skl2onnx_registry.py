"""Lend converters to skl2onnx for the time of one conversion."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """How skl2onnx is to convert the estimators of a class.

    Attributes:
        shapes: sets the types of an operator's outputs; None keeps skl2onnx's own function.
        convert: adds the nodes of an operator to a container.
        options: the options that callers of skl2onnx may set, with their values.
        is_classifier: whether the class returns labels and probabilities, although it is no
            `ClassifierMixin` of scikit-learn.
    """

    convert: Callable[[Any, Any, Any], None]
    shapes: Callable[[Any], None] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    is_classifier: bool = False


@contextmanager
def registered(converters: Mapping[type, Converter]) -> Iterator[None]:
    """Make skl2onnx use converters, and restore its own ones afterwards.

    Args:
        converters: a converter for each class of estimators.
    """
    from skl2onnx._supported_operators import sklearn_classifier_list as classifiers
    from skl2onnx._supported_operators import sklearn_operator_name_map as names
    from skl2onnx.common import _registration

    pools: list[dict[Any, Any]] = [
        names,
        _registration._converter_pool,  # noqa: SLF001 - the public functions cannot restore
        _registration._shape_calculator_pool,  # noqa: SLF001
    ]
    before = [dict(pool) for pool in pools]
    classifiers_before = list(classifiers)
    try:
        for kind, own in converters.items():
            alias = names.setdefault(kind, f"Shearling{kind.__name__}")
            _registration.register_converter(
                alias, own.convert, overwrite=True, options=own.options
            )
            if own.is_classifier:
                classifiers.append(kind)
            if own.shapes:
                _registration.register_shape_calculator(alias, own.shapes, overwrite=True)
        yield
    finally:
        for pool, entries in zip(pools, before, strict=True):
            pool.clear()
            pool.update(entries)
        classifiers[:] = classifiers_before


def allowed_options(kind: type) -> set[str]:
    """Return the options that skl2onnx accepts for the estimators of a class."""
    from skl2onnx._supported_operators import sklearn_operator_name_map
    from skl2onnx.common import _registration

    alias = sklearn_operator_name_map.get(kind)
    converter = _registration._converter_pool.get(alias)  # noqa: SLF001 - there is no other way
    return set(converter.get_allowed_options() or ()) if converter else set()
