"""The same scikit-learn model, kept as a pickle and as ONNX: why push prefers ONNX."""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.cold_start import Starts, shearling_function
from bench.installation import HOME, once
from bench.measurement import Findings, Row, duration, interleaved, medians, megabytes, spread
from bench.models import FEATURES
from bench.progress import say
from bench.registries import read_once
from shearling.package import build_package
from tests.support.packages import built_package, host_architecture, unzipped_package

if TYPE_CHECKING:
    from bench.registries import Pushed, Registries

_ONNX = "as ONNX"
_PICKLE = "as a pickle"

#: A pickle is loaded by the Python that wrote it: the project's.
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def measure(registries: Registries, *, quick: bool) -> Findings:
    """Measure both, in turn, on the project's own Python."""
    rows, model = _trained()
    as_onnx = registries.push("forest", model, rows[:4])
    as_pickle = registries.push("forest-pickle", model, rows[:4], format="cloudpickle")
    with tempfile.TemporaryDirectory(prefix="shearling-bench-") as directory:
        onnx_package = unzipped_package("runtime", Path(directory), _PYTHON)
        pickle_package = _package_of(as_pickle)
        starts = Starts()
        timed = {}
        for name, pushed, package in (
            (_ONNX, as_onnx, onnx_package),
            (_PICKLE, as_pickle, pickle_package),
        ):
            read_once(package)
            document = _document(pushed, rows[:1])
            function = shearling_function(registries, package, _PYTHON, pushed.pin, document)
            if name == _PICKLE:
                function.environment["SHEARLING_ALLOW_PICKLE"] = "true"
            timed[name] = starts.timed(name, function)
        interleaved(1, timed)
        starts.ledgers.clear()
        repetitions = 2 if quick else 7
        say(f"cold start of a scikit-learn model both ways, {repetitions} times")
        found = interleaved(repetitions, timed)
        starts.agree(_PICKLE, _ONNX)
        return _findings(found, starts, {_ONNX: onnx_package, _PICKLE: pickle_package})


def _trained() -> tuple[np.ndarray[Any, Any], Any]:
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(7)
    rows = random.standard_normal((600, FEATURES)).astype(np.float32)
    labels = (rows[:, 0] * rows[:, 1] + rows[:, 2] > 0).astype(np.int64)
    model = make_pipeline(
        StandardScaler(), GradientBoostingClassifier(n_estimators=100, random_state=7)
    )
    return rows, model.fit(rows, labels)


def _document(pushed: Pushed, rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    (spec,) = pushed.manifest.signature.inputs
    data = rows.ravel().tolist()
    tensor = {"name": spec.name, "datatype": spec.datatype, "shape": list(rows.shape), "data": data}
    return {"inputs": [tensor]}


def _package_of(pushed: Pushed) -> Path:
    """Return the unzipped package with the pickle's requirements, as `shearling package --for`."""
    environment = pushed.manifest.environment
    requirements = environment.requirements if environment else ()
    directory = HOME / "packages" / f"pickle-{_PYTHON}"
    # The plain package's name has the state of our own sources in it.
    wanted = (*requirements, built_package("runtime", _PYTHON).name)

    def build() -> None:
        output = HOME / "packages" / "pickle.zip"
        build_package(
            "runtime",
            python=_PYTHON,
            architecture=host_architecture(),
            output=output,
            requirements=requirements,
        )
        with zipfile.ZipFile(output) as archive:
            archive.extractall(directory)
        output.unlink()

    once(directory, wanted, build)
    return directory


def _findings(found: dict[str, list[float]], starts: Starts, packages: dict[str, Path]) -> Findings:
    middle = medians(found)
    findings = Findings(notes=list(_NOTES))
    columns = ["import", "resolve", "fetch", "load", "warm_up"]
    findings.tables["Cold start of a scikit-learn pipeline (gradient boosting, 100 trees)"] = [
        ["kept", "start", *columns, "package, unzipped"],
        *(
            [
                name,
                f"{duration(middle[name])} ({spread(found[name])})",
                *(duration(starts.shares(name).get(step, 0.0)) for step in columns),
                megabytes(sum(f.stat().st_size for f in package.rglob("*") if f.is_file())),
            ]
            for name, package in packages.items()
        ),
    ]
    findings.rows.append(
        Row(
            section="pickle",
            what="cold start, scikit-learn as a pickle against the same as ONNX",
            ours=f"{duration(middle[_ONNX])} (ONNX)",
            against=f"{duration(middle[_PICKLE])} (pickle)",
            ratio=middle[_PICKLE] / middle[_ONNX],
            bound="at least",
            target=1.0,
            source="why push prefers ONNX",
        )
    )
    return findings


_NOTES = (
    (
        f"The pickle and its ONNX twin start on Python {_PYTHON}, the one that wrote the pickle; "
        "the pickle's package has scikit-learn, SciPy and what they need."
    ),
)
