"""Convert a model with the converter for its kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shearling.converters.skops_file import SUFFIX as SKOPS
from shearling.errors import FormatError, InvalidRequestError
from shearling.models.push_options import PushOptions
from shearling.tensors.inputs import check_rows

if TYPE_CHECKING:
    from shearling.converters.base import ConvertedModel

#: Suffixes of files with models of other libraries, which `push_model` does not load.
_MODEL_FILES = frozenset(
    {".cbm", ".ckpt", ".h5", ".joblib", ".keras", ".pickle", ".pkl", ".pt", ".pt2", ".pth"}
)

#: How to export models of other libraries to ONNX, by top-level package.
_EXPORTS = {
    # on another backend than PyTorch
    "keras": 'export it with model.export("model.onnx", format="onnx")',
}


def convert_model(
    model: Any, example: Any, directory: Path, options: PushOptions | None = None
) -> ConvertedModel:
    """Convert a model to the files of a bundle, without comparing its answers yet.

    Raises:
        FormatError: the model cannot be converted.
        InvalidRequestError: the example does not fit the model.
    """
    from shearling.converters import boosting, cloudpickle
    from shearling.converters.remote import Remote
    from shearling.converters.torch import is_torch

    options = options or PushOptions()
    if isinstance(model, Remote) and (options.format or options.load or options.image):
        raise FormatError("format, load and image do not apply to sdk.Remote: leave them out")
    if options.image is not None:
        from shearling.converters import image

        network_options = replace(options, image=None)
        return image.convert(
            model,
            example,
            directory,
            options.image,
            lambda network, own, place: convert_model(network, own, place, network_options),
        )
    if hasattr(example, "toarray"):  # scipy's sparse matrices
        raise InvalidRequestError(
            f"example: sparse data is not supported ({type(example).__name__}): "
            f"{boosting.dense_form(model)}"
        )
    if options.dynamic is not None and (options.format == "cloudpickle" or not is_torch(model)):
        raise FormatError("dynamic applies to PyTorch and Keras models only: leave it out")
    if options.format == "cloudpickle":
        _check_is_instance(model, options)
        check_rows(example)
        return cloudpickle.convert(model, example, directory, options.requirements)
    return _convert_by_kind(model, example, directory, options)


def _convert_by_kind(
    model: Any, example: Any, directory: Path, options: PushOptions
) -> ConvertedModel:
    from shearling.converters import keras, onnx, remote, sklearn, text_models, torch

    if text_models.is_text_model(model, example):
        if options.dynamic is not None:
            raise FormatError("dynamic does not apply to models of texts: leave it out")
        check_rows(example)
        return text_models.convert(model, example, directory, options.load)
    if keras.is_keras(model) and torch.is_torch(model):
        return keras.convert(model, example, directory, options.load, options.dynamic)
    if torch.is_torch(model):
        return torch.convert(model, example, directory, options.load, options.dynamic)
    check_rows(example)
    if isinstance(model, remote.Remote):
        return remote.convert(model, example)
    _check_is_instance(model, options)
    if isinstance(model, str | Path) and Path(model).suffix == SKOPS:
        raise FormatError(
            f"{model} is a file of skops: import_model asks which of its types you trust. Pass it "
            "to import_model, with the same arguments"
        )
    if isinstance(model, str | Path) and Path(model).suffix in _MODEL_FILES:
        raise FormatError(
            f"{model} is not an ONNX file: load the model from it, and push the loaded object"
        )
    if isinstance(model, str | Path) or type(model).__name__ == "ModelProto":
        return onnx.convert(model, example, directory, options.load)
    if sklearn.is_estimator(model):
        return sklearn.convert(model, example, directory, options.load)
    raise FormatError(
        f"Shearling has no converter to ONNX for {type(model).__name__}: {_onnx_export(model)} and "
        "push the file, or pass format='cloudpickle' (a pickle runs code when it is loaded, so the "
        "function must allow pickles)"
    )


def _check_is_instance(model: object, options: PushOptions) -> None:
    """Refuse a class, unless it is a callable that a pickle may hold."""
    if isinstance(model, type) and (options.format != "cloudpickle" or hasattr(model, "predict")):
        fitted = ".fit(X, y)" if hasattr(model, "fit") else ""
        raise FormatError(
            f"model: {model.__name__} is a class: push a fitted instance, such as "
            f"{model.__name__}(...){fitted}"
        )


def _onnx_export(model: object) -> str:
    makers = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    exports = (_EXPORTS[maker] for maker in _EXPORTS if maker in makers)
    return next(exports, "convert it to ONNX yourself")
