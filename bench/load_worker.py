"""Runs in the function's interpreter: loads one bundle as the runtime does, and weighs it."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.processes import answer_questions
from bench.session_worker import forget_peak, memory_bytes


def main() -> None:
    """Load the pin of the arguments from a directory, answer the example, answer one question."""
    import onnxruntime  # noqa: F401

    from shearling.bundle.example import Example
    from shearling.formats.base import LoadSettings, load_bundle
    from shearling.protocol import requests, responses  # noqa: F401
    from shearling.registry.registry import Registry

    pin, mount = sys.argv[1:3]
    blobs = Path(mount, "blobs", "sha256")
    manifest = Registry(mount).manifest(pin)
    imports, anonymous = memory_bytes("VmRSS"), memory_bytes("RssAnon")
    forget_peak()
    predictor = load_bundle(manifest, blobs, LoadSettings(threads=2))
    example = Example.from_bytes((blobs / manifest.file(manifest.example.path).hex).read_bytes())
    predictor.predict(example.inputs, [spec.name for spec in manifest.signature.outputs])
    found = {
        "imports": imports,
        "peak": memory_bytes("VmHWM") - imports,
        "anonymous": memory_bytes("RssAnon") - anonymous,
    }
    answer_questions(lambda: found)


if __name__ == "__main__":
    main()
