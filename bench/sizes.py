"""How large the package is, and how much memory a load takes."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from bench.installation import function_package
from bench.measurement import Findings, Row, megabytes
from bench.models import CONV, INT8, M500, M2000
from bench.processes import Worker
from bench.progress import say
from shearling.bundle.example import Example
from tests.embedded_aws import install
from tests.support.packages import built_package

if TYPE_CHECKING:
    from pathlib import Path

    from bench.models import Model
    from bench.registries import Registries

_ZIPPED_LIMIT = 45e6
_UNZIPPED_LIMIT = 170e6


def measure(registries: Registries, package: Path, python: str, *, quick: bool) -> Findings:
    """Measure the package, then the load of each big model in a process of its own."""
    findings = Findings(notes=list(_NOTES))
    _measure_package(findings, python)
    findings.tables["Memory of a load"] = [
        ["model", "weights", "after the imports", "peak above that", "peak above that, anonymous"]
    ]
    for model in (M500, INT8, CONV) if quick else (M500, M2000, INT8, CONV):
        say(f"memory of loading {model.description}")
        _measure_load(findings, registries, package, python, model)
    return findings


def _measure_package(findings: Findings, python: str) -> None:
    package = built_package("runtime", python)
    with zipfile.ZipFile(package) as archive:
        unzipped = sum(entry.file_size for entry in archive.infolist())
        sizes: dict[str, int] = {}
        for entry in archive.infolist():
            owner = entry.filename.split("/")[0]
            sizes[owner] = sizes.get(owner, 0) + entry.file_size
    largest = sorted(sizes, key=lambda name: -sizes[name])[:6]
    parts = ", ".join(f"{name} {megabytes(sizes[name])}" for name in largest)
    for what, size, limit in (
        ("zipped", package.stat().st_size, _ZIPPED_LIMIT),
        ("unzipped", unzipped, _UNZIPPED_LIMIT),
    ):
        row = Row(
            section="sizes",
            what=f"runtime package, {what}",
            ours=megabytes(size),
            against=f"{megabytes(limit)} (the budget)",
            ratio=size / limit,
            bound="at most",
            target=1.0,
        )
        findings.rows.append(row)
        if not row.met:
            findings.reasons[row.what] = f"The largest parts are {parts}."


def _measure_load(
    findings: Findings, registries: Registries, package: Path, python: str, model: Model
) -> None:
    pushed = registries.pushed(model)
    weights = max(file.size for file in pushed.manifest.files)
    worker = Worker(
        install.function_python(python),
        "bench.load_worker",
        [pushed.pin, str(registries.mount)],
        packages=[package],
        environment={"PATH": "/usr/bin:/bin", "SHEARLING_REGISTRY": str(registries.mount)},
    )
    with worker:
        found = worker.ask()
    if pushed.manifest.options.get("prepack", True):
        bound, against = _peak_by_hand(registries, python, model), "a session by hand"
    else:
        bound, against = float(weights), "the weights"
    findings.tables["Memory of a load"].append(
        [
            model.description,
            megabytes(weights),
            megabytes(found["imports"]),
            megabytes(found["peak"]),
            megabytes(found["anonymous"]),
        ]
    )
    row = Row(
        section="sizes",
        what=f"peak memory of load above the imports, {model.description}",
        ours=megabytes(found["peak"]),
        against=f"{megabytes(bound)} ({against})",
        ratio=found["peak"] / bound,
        bound="at most",
        target=1.1,
    )
    findings.rows.append(row)
    if not row.met:
        findings.reasons[row.what] = (
            f"Of the peak {megabytes(found['anonymous'])} are anonymous memory after the load, "
            "which is copies of weights that ONNX Runtime rearranged and what predictions work "
            "in; the rest is the mapped file."
        )


def _peak_by_hand(registries: Registries, python: str, model: Model) -> float:
    """Return the peak memory of ONNX Runtime's own session that loads the bundle and answers it."""
    manifest = registries.pushed(model).manifest
    entry, example = (
        registries.blobs() / manifest.file(path).hex
        for path in (manifest.entry, manifest.example.path)
    )
    (rows,) = Example.from_bytes(example.read_bytes()).inputs.values()
    worker = Worker(
        install.function_python(python),
        "bench.session_worker",
        [str(entry), "0", "2"],
        packages=[function_package("by_hand", python)],
        environment={"PATH": "/usr/bin:/bin"},
    )
    with worker:
        return float(worker.ask(shape=list(rows.shape), count=1)["peak"])


_NOTES = (
    (
        "Memory of a load is the most that the process held while the bundle was loaded and its "
        "example answered, above what it held after the imports; mapped files count as far as "
        "they are in memory. Where ONNX Runtime pre-packs weights, which copies them, a load is "
        "compared with its own session of the same bundle, which answers the same rows."
    ),
)
