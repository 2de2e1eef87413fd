"""What is imported when, what is exported, and which version this is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import shearling
import shearling.errors
from tests.support.bundles import scaling_bundle

if TYPE_CHECKING:
    from collections.abc import Iterable

REPOSITORY = Path(__file__).parent.parent

#: What the inference path may import besides the standard library and itself. Every other package
#: is paid for by each cold start: think before adding one.
INFERENCE = {
    "shearling",
    "shearling_runtime",
    "numpy",
    "obstore",
    "onnxruntime",
    "orjson",
}

PRINT_MODULES = """
import json, sys
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules_after(code: str, **environment: str) -> set[str]:
    """Run code in a Python of its own, and return the packages that it imported from anywhere."""
    before = _run("")
    return set(_run(code, **environment)) - set(before) - set(sys.stdlib_module_names)


def _run(code: str, **environment: str) -> list[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SHEARLING_")}
    done = subprocess.run(
        [sys.executable, "-c", code + PRINT_MODULES],
        capture_output=True,
        text=True,
        check=False,
        env=kept | environment,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules


def third_parties(modules: Iterable[str]) -> set[str]:
    return {name for name in modules if not name.startswith(("_", "shearling"))}


def test_a_function_that_answers_imports_only_what_is_on_the_list(tmp_path: Path) -> None:
    version = scaling_bundle(tmp_path).publish(str(tmp_path / "registry"))
    request = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    code = f"""
from types import SimpleNamespace
from shearling_runtime.handler import handler
context = SimpleNamespace(
    aws_request_id="r", function_name="f", invoked_function_arn="a:b:c:d:e:f:g",
    get_remaining_time_in_millis=lambda: 9999,
)
answer = handler({request!r}, context)
assert answer["outputs"][0]["data"] == [2.0, 4.0], answer
"""
    modules = modules_after(
        code,
        SHEARLING_REGISTRY=str(tmp_path / "registry"),
        SHEARLING_MODEL=str(version.pin),
        SHEARLING_SCRATCH=str(tmp_path / "scratch"),
    )
    assert {"numpy", "obstore", "onnxruntime", "orjson"} <= modules
    assert {name for name in modules if not name.startswith("_")} <= INFERENCE


def test_a_started_function_collects_garbage_but_looks_for_none_in_what_it_started_with() -> None:
    code = """
import gc
import shearling_runtime.handler
assert gc.isenabled() and gc.get_freeze_count() > 10_000, gc.get_freeze_count()
"""
    assert "shearling_runtime" in modules_after(code)


def test_a_function_reaches_s3_without_boto3() -> None:
    modules = modules_after(
        "from shearling.storage.store import open_store\nopen_store('s3://bucket/prefix')\n",
        AWS_LAMBDA_FUNCTION_NAME="acme-fraud",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
    )
    assert third_parties(modules) == {"obstore"}


def test_importing_shearling_imports_no_third_party() -> None:
    modules = modules_after("import shearling\nshearling.ShearlingError\ndir(shearling)\n")
    assert third_parties(modules) == set()


@pytest.mark.parametrize("name", ["sklearn", "pandas", "skl2onnx", "onnx", "boto3", "tqdm"])
def test_pushing_imports_a_library_only_when_a_model_needs_it(name: str) -> None:
    modules = modules_after("import shearling\nshearling.push_model\nshearling.load_model\n")
    assert "numpy" in modules
    assert name not in modules


def test_the_exported_names_are_these() -> None:
    errors = {
        name
        for name, value in vars(shearling.errors).items()
        if isinstance(value, type) and issubclass(value, shearling.errors.ShearlingError)
    }
    assert set(shearling.__all__) - errors == {
        "BatchRun",
        "Image",
        "Job",
        "ModelVersion",
        "Registry",
        "Remote",
        "batch",
        "batch_run",
        "batch_runs",
        "compare",
        "connect",
        "diff",
        "distil",
        "import_model",
        "load_model",
        "plan",
        "push_model",
        "push_training_job",
        "quantize",
        "rollback",
        "set_alias",
        "status",
    }
    assert errors <= set(shearling.__all__)
    assert list(shearling.__all__) == sorted(shearling.__all__)


def test_every_exported_name_is_there() -> None:
    for name in shearling.__all__:
        value: Any = getattr(shearling, name)
        assert value.__name__ == name
    assert set(dir(shearling)) == {*shearling.__all__, "__version__"}


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'shearling' has no attribute 'push_modle'"):
        getattr(shearling, "push_modle")  # noqa: B009 - a type checker would refuse it written out


def test_the_status_of_an_error_is_the_one_of_http() -> None:
    statuses = {
        name: value.status
        for name, value in vars(shearling.errors).items()
        if isinstance(value, type) and issubclass(value, shearling.errors.InferenceError)
    }
    assert statuses == {
        "InferenceError": 500,
        "InvalidRequestError": 400,
        "UnknownModelError": 404,
        "PayloadTooLargeError": 413,
        "ModelNotReadyError": 503,
        "DeadlineError": 504,
        "JobTimeoutError": 504,
        "PredictionError": 500,
        "RowsFailedError": 500,
    }


def test_the_tree_of_errors_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn = re.findall(r"^([| +-]*)(\w+Error)\b", str(shearling.errors.__doc__), re.MULTILINE)
    path: list[str] = []
    for prefix, name in drawn:
        depth = len(prefix) // 3
        path[depth:] = [name]
        parents = [base.__name__ for base in getattr(shearling.errors, name).__mro__[1:]]
        assert depth == 0 or path[depth - 1] == parents[0]
    assert {name for _, name in drawn} == {
        name for name in shearling.__all__ if name.endswith("Error")
    }


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    headings = re.findall(
        r"^## \[?([^\]\s]+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    released = [heading for heading in headings if heading.lower() != "unreleased"]
    assert released[0] == project["version"]
    assert len(released) == len(set(released))


def test_the_installed_version_is_the_one_of_the_project() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert shearling.__version__ == project["version"]
