"""A photograph to its label: cold start and warm latency, and what `--with image` adds."""

from __future__ import annotations

import base64
import io
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from PIL import Image
from sklearn.datasets import load_sample_images

import shearling as sdk
from bench.cold_start import Function, Starts, shearling_function
from bench.installation import function_package, optimisation_packages
from bench.measurement import (
    DESIGN,
    Findings,
    Row,
    duration,
    interleaved,
    medians,
    megabytes,
    slower,
    spread,
)
from bench.progress import say
from bench.registries import read_once
from bench.warm_functions import warm_seconds
from tests.support.packages import built_package, unzipped_package

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.registries import Registries

IMAGE = "Shearling, pictures"
BY_HAND = "Pillow and ONNX Runtime by hand"

_MOUNT = "/mnt/models"
_NETWORK = "ch_ppocr_mobile_v2.0_cls_infer.onnx"

#: Height and width of the network's input.
_SIZE = (48, 192)

#: Bytes that Lambda takes without S3.
_UPLOAD = 50 * 1024 * 1024


def measure(registries: Registries, python: str, *, quick: bool) -> Findings:
    """Start each function in sandboxes of its own, and ask each many times.

    Args:
        registries: where the models are pushed.
        python: minor version of the functions' interpreter.
        quick: whether to start each only a few times.
    """
    findings = Findings(notes=list(_NOTES))
    with tempfile.TemporaryDirectory(prefix="shearling-bench-") as directory:
        with_image = unzipped_package("runtime", Path(directory), python, features=("image",))
        functions = _functions(registries, with_image, python)
        for function in functions.values():
            read_once(function.package)
        say("cold start of a network of pictures")
        starts = Starts()
        timed = {name: starts.timed(name, function) for name, function in functions.items()}
        interleaved(1, timed)  # every package's files are warm from now on
        cold = interleaved(3 if quick else 9, timed)
        starts.agree(IMAGE, BY_HAND)
        say("warm pictures")
        warm = {name: warm_seconds(function) for name, function in functions.items()}
    findings.tables["A photograph to its label"] = [
        ["function", "cold start", "warm"],
        *(
            [name, f"{duration(median(cold[name]))} ({spread(cold[name])})", duration(warm[name])]
            for name in functions
        ),
    ]
    findings.rows += [*_rows(medians(cold), warm), _size_row(python)]
    return findings


def _functions(registries: Registries, package: Path, python: str) -> dict[str, Function]:
    network = optimisation_packages() / "rapidocr_onnxruntime" / "models" / _NETWORK
    stream = io.BytesIO()
    Image.fromarray(load_sample_images().images[0]).save(stream, "JPEG", quality=90)
    photograph = stream.getvalue()
    image = sdk.Image(size=_SIZE, mean=0.5, std=0.5)
    pushed = registries.push("ocr-image", network, [photograph], image=image)
    ours = shearling_function(registries, package, python, pushed.pin, {})
    event = {
        **ours.event,
        "body": base64.b64encode(photograph).decode(),
        "isBase64Encoded": True,
        "headers": {**ours.event["headers"], "content-type": "image/jpeg"},
    }
    by_hand = Function(
        package=function_package("image_by_hand", python),
        handler="image_by_hand.handler",
        event=event,
        python=python,
        environment={"MODEL_PATH": f"{_MOUNT}/{_NETWORK}"},
        mounts={_MOUNT: network.parent},
    )
    return {IMAGE: replace(ours, event=event), BY_HAND: by_hand}


def _rows(cold: Mapping[str, float], warm: Mapping[str, float]) -> list[Row]:
    by_hand = "Pillow by hand, from local disk"
    return [
        slower(
            "images",
            "cold start of a network of pictures",
            cold[IMAGE],
            (by_hand, cold[BY_HAND]),
            at_most=1.15,
            source=f"as the {DESIGN} of a small model",
        ),
        slower(
            "images",
            "a photograph to its label, warm,",
            warm[IMAGE],
            (by_hand, warm[BY_HAND]),
            at_most=1.15,
            source="about as fast",
        ),
    ]


def _size_row(python: str) -> Row:
    plain, image = (
        built_package("runtime", python, features=features).stat().st_size
        for features in ((), ("image",))
    )
    return Row(
        section="images",
        what="runtime package --with image, zipped",
        ours=f"{megabytes(image)}, {megabytes(image - plain)} of them for pictures",
        against=f"{megabytes(_UPLOAD)} (uploads without S3)",
        ratio=image / _UPLOAD,
        bound="at most",
        target=1.0,
        source="Lambda's limit",
    )


_NOTES = (
    (
        "A classifier of 585 kB that rapidocr publishes, on a JPEG of 640 x 427 pixels. The "
        "handler by hand has the network on a local disk; Shearling's fetches and verifies it from "
        "S3 on loopback."
    ),
)
