"""Rebuild the DataFrame that a pickle was pushed with from the tensors of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shearling.bundle.manifest import Manifest
    from shearling.formats.base import Tensors
    from shearling.tensors.spec import Scalar

_CATEGORY, _ORDERED = "category", "ordered category"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameForm:
    """What a DataFrame has beyond its columns' values. Its index is not part of a request.

    Attributes:
        names: the names of the columns, in order.
        integers: the names of the columns whose label is an integer.
        types: the pandas type of each column whose tensor would become another one.
        categories: the categories of each column of type `category` or `ordered category`.
    """

    names: tuple[str, ...]
    integers: frozenset[str] = frozenset()
    types: Mapping[str, str] = field(default_factory=dict)
    categories: Mapping[str, Sequence[Scalar]] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: Any, tensors: Tensors) -> FrameForm:
        """Return the form of a DataFrame that became these tensors."""
        plain = cls(names=tuple(tensors)).frame(tensors)
        labels = dict(zip(tensors, frame.columns, strict=True))
        dtypes = {name: frame[label].dtype for name, label in labels.items()}
        categorical = {name: dtype for name, dtype in dtypes.items() if str(dtype) == _CATEGORY}
        others = {name: str(dtype) for name, dtype in dtypes.items() if dtype != plain[name].dtype}
        ordered = {name: _ORDERED for name, dtype in categorical.items() if dtype.ordered}
        return cls(
            names=tuple(tensors),
            integers=frozenset(name for name, label in labels.items() if type(label) is int),
            types=others | ordered,
            categories={
                name: tuple(dtype.categories.tolist()) for name, dtype in categorical.items()
            },
        )

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> FrameForm:
        """Return the form that a bundle recorded."""
        types = manifest.options.get("types", {})
        return cls(
            names=tuple(spec.name for spec in manifest.signature.inputs),
            integers=frozenset(manifest.options.get("integers", ())),
            types=types,
            categories={
                spec.name: spec.categories[0] or ()
                for spec in manifest.signature.inputs
                if spec.categories and spec.name in types
            },
        )

    def options(self) -> dict[str, Any]:
        """Return what a bundle records, beside the categories in its signature."""
        integers = {"integers": sorted(self.integers)} if self.integers else {}
        return integers | ({"types": dict(self.types)} if self.types else {})

    def frame(self, tensors: Tensors) -> Any:
        """Return the DataFrame for some tensors."""
        import pandas as pd

        frame = pd.DataFrame({name: tensors[name].ravel() for name in self.names})
        for name, dtype in self.types.items():
            if name in self.categories:
                known: Any = self.categories[name]
                frame[name] = pd.Categorical(
                    frame[name], categories=known, ordered=dtype == _ORDERED
                )
            else:
                frame[name] = frame[name].astype(pd.api.types.pandas_dtype(dtype))
        if self.integers:
            frame.columns = [int(name) if name in self.integers else name for name in self.names]
        return frame
