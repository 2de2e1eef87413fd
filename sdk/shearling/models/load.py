"""Load a model version into this process, such as a notebook, a test or your own service."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.bundle.example import Example
from shearling.errors import FormatError
from shearling.formats.base import LoadSettings, load_bundle
from shearling.progress import progress
from shearling.refs import Pin, Ref
from shearling.registry.registry import Registry, naming_verify
from shearling.storage.blobs import BLOBS
from shearling.tensors.inputs import to_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shearling.bundle.manifest import Manifest
    from shearling.formats.base import Predictor, Tensors
    from shearling.protocol.requests import InferRequest
    from shearling.scoring.blocks import Scorer
    from shearling.tensors.spec import Signature


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model version that is loaded into this process.

    Attributes:
        pin: the model's name, the version's number and its digest.
        manifest: the version's manifest: files, signature, example, options and metadata.
    """

    pin: Pin
    manifest: Manifest
    _predictor: Predictor
    _directory: Path

    @property
    def predictor(self) -> Predictor:
        """What answers tensors that fit the signature."""
        return self._predictor

    @property
    def signature(self) -> Signature:
        """Names, datatypes and shapes of the model's inputs and outputs."""
        return self.manifest.signature

    def scorer(self) -> Scorer:
        """Return the model for scoring objects, as a function does."""
        from shearling.formats.answering import model_answer
        from shearling.formats.tokenizer import TextPredictor
        from shearling.scoring.blocks import Scorer

        example, predictor = self._example(), self._predictor

        def answered(request: InferRequest) -> Mapping[str, NDArray[Any]]:
            def predict(inputs: Tensors, outputs: Sequence[str]) -> Tensors:
                if not isinstance(predictor, TextPredictor):
                    return predictor.predict(inputs, outputs)
                request.truncated = 0  # also if there are no texts
                answers, request.truncated = predictor.predict_counted(inputs, outputs)
                return answers

            return model_answer(
                predictor,
                request.inputs,
                request.outputs,
                signature=self.signature,
                example=example,
                predict=predict,
            )

        return Scorer(
            pin=str(self.pin),
            signature=self.signature,
            columns=self.manifest.options.get("columns") or (),
            answer=answered,
        )

    def predict(self, value: Any) -> dict[str, NDArray[Any]]:
        """Run the model and return its outputs by name.

        Args:
            value: an array, a DataFrame, or a dict of arrays by input name.

        Raises:
            InvalidRequestError: the value does not fit the signature.
        """
        inputs = to_tensors(value, self.signature.inputs, self.manifest.options.get("columns", ()))
        names = self.signature.output_names
        try:
            return self._predictor.predict(inputs, names)
        except Exception:
            answer = self._example().without_rows(inputs, self.signature, names)
            if answer is None:
                raise
            return answer

    def _example(self) -> Example:
        file = self.manifest.file(self.manifest.example.path)
        return Example.from_bytes((self._directory / file.hex).read_bytes())

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self.signature.inputs))
        outputs = ", ".join(map(str, self.signature.outputs))
        return f"<{self.pin.model}:{self.pin.version} ({inputs}) -> ({outputs})>"


def load_model(
    ref: str,
    *,
    allow_pickle: bool = False,
    registry: str | os.PathLike[str] | Registry | None = None,
) -> LoadedModel:
    """Fetch a version, verify its bytes by digest, and load it.

    Args:
        ref: `fraud` (the newest version), `fraud:7`, `fraud:prod`, or pinned:
            `fraud:7@sha256:...`.
        allow_pickle: whether to load a pickle, which runs the code in it. The ref must then be
            pinned.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Raises:
        InvalidRefError: the ref is malformed.
        ModelNotFoundError: the registry has no such model, version or alias.
        FormatError: the version cannot be loaded, or it is a pickle and `allow_pickle` is False.
        EnvironmentMismatchError: the version needs another Python version or other packages.
        IntegrityError: the bytes are not the ones that were pushed.
    """
    source = Registry.existing(registry)
    pin = source.resolve(ref)
    if allow_pickle and Ref.parse(ref).digest is None:
        raise FormatError(
            "allow_pickle=True needs a ref that is pinned by its digest, because a pickle runs "
            f"code: load_model({str(pin)!r}, allow_pickle=True)"
        )
    directory = cache_directory()
    with naming_verify(pin):
        manifest = source.manifest(pin)
        with progress(f"fetch {ref}", manifest.size) as advance:
            source.fetch(manifest, directory, advance)
    settings = LoadSettings(allow_pickle=allow_pickle)
    return LoadedModel(pin, manifest, load_bundle(manifest, directory, settings), directory)


def cache_directory() -> Path:
    """Return the directory in which fetched blobs are cached."""
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(root, "shearling", BLOBS)
