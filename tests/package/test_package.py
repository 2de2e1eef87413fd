from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import onnx
import pytest
from onnx import TensorProto, helper

from shearling.errors import PackageError, ShearlingError
from shearling.package import UNZIPPED_LIMIT, Target, build_package, find_python
from shearling.package.archive import write_zip
from shearling.package.interpreters import compile_tree, python_release
from shearling.package.prune import (
    LEFT_OUT_OF_FUNCTIONS,
    is_own_left_out,
    is_pruned,
    unimported_tests,
)
from shearling.package.wheels import (
    Installed,
    choose_wheels,
    feature_requirements,
    is_of_features,
    needed,
)
from tests.support.packages import (
    REPOSITORY,
    built_package,
    function_python,
    host_architecture,
    unzipped_package,
)

if TYPE_CHECKING:
    from shearling.package import Kind

PYTHON = function_python()
RUNTIME_ZIPPED_BUDGET = 45_000_000
RUNTIME_UNZIPPED_BUDGET = 170_000_000


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unzipped_package("runtime", tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unzipped_package("control", tmp_path_factory.mktemp("packages"))


def run_isolated(package: Path, code: str, *arguments: str) -> str:
    """Run code in a process that can import only the standard library and the package."""
    interpreter = find_python(PYTHON)
    assert interpreter is not None
    program = f"import sys\nsys.path.insert(0, sys.argv[1])\n{code}"
    done = subprocess.run(
        [interpreter, "-I", "-S", "-B", "-c", program, package, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_EC2_METADATA_DISABLED": "true", "PATH": os.defpath},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Targets


@pytest.mark.parametrize(
    ("kind", "python", "architecture", "message"),
    [
        ("training", "3.13", "x86_64", "'runtime', 'control' or 'image'"),
        ("runtime", "3.13", "riscv", "x86_64 and arm64"),
        ("runtime", "3.10", "x86_64", "3.11 and newer"),
        ("runtime", "2.7", "x86_64", "as in 3.13"),
        ("runtime", "3.13.1", "x86_64", "as in 3.13"),
    ],
)
def test_invalid_target_is_refused(kind: str, python: str, architecture: str, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        Target(kind=kind, python=python, architecture=architecture)  # type: ignore[arg-type]


@pytest.mark.parametrize(("architecture", "machine"), [("x86_64", "x86_64"), ("arm64", "aarch64")])
def test_pips_options_list_every_glibc_up_to_lambdas(architecture: str, machine: str) -> None:
    target = Target(kind="runtime", python="3.13", architecture=architecture)  # type: ignore[arg-type]
    arguments = target.pip_arguments
    for tag in ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014"):
        assert f"--platform={tag}_{machine}" in arguments
    assert f"--platform=manylinux_2_35_{machine}" not in arguments
    assert "--only-binary=:all:" in arguments


@pytest.mark.parametrize(("python", "runs"), [("3.11", False), ("3.12", True), ("3.14", True)])
def test_only_python_3_11_is_not_for_aws(python: str, *, runs: bool) -> None:
    assert Target(kind="runtime", python=python, architecture="x86_64").runs_on_aws is runs


# What is left out


@pytest.mark.parametrize(
    "path",
    [
        "numpy/__init__.pyi",
        "numpy/__pycache__/version.cpython-313.pyc",
        "numpy/_core/include/numpy/numpyconfig.txt",
        "numpy/_core/_umath_tests.cpython-313-x86_64-linux-gnu.so",
        "numpy-2.4.6.dist-info/RECORD",
        "numpy-2.4.6.dist-info/INSTALLER",
        "onnxruntime/tools/check_onnx_model_mobile_usability.py",
        "onnxruntime/transformers/models/gpt2/parity.py",
        "onnxruntime/capi/libonnxruntime.so.1.32.0",
        "bin/f2py",
    ],
)
def test_files_that_functions_do_not_need_are_pruned(path: str) -> None:
    assert is_pruned(PurePosixPath(path), "runtime")


@pytest.mark.parametrize(
    "path",
    [
        "numpy/__init__.py",
        "numpy/f2py/__init__.py",
        "numpy/testing/__init__.py",
        "numpy.libs/libscipy_openblas64_-32a4b2a6.so",
        "numpy-2.4.6.dist-info/METADATA",
        "numpy-2.4.6.dist-info/licenses/LICENSE.txt",
        "onnxruntime/capi/libonnxruntime_providers_shared.so",
        "onnxruntime/capi/onnxruntime_pybind11_state.cpython-313-x86_64-linux-gnu.so",
    ],
)
def test_files_that_functions_need_are_kept(path: str) -> None:
    assert not is_pruned(PurePosixPath(path), "runtime")


@pytest.mark.parametrize(
    ("path", "pruned"),
    [
        ("pillow.libs/libavif-c6062d5f.so.16.4.2", True),
        ("PIL/_imagingft.cpython-313-x86_64-linux-gnu.so", True),
        ("PIL/_imaging.cpython-313-x86_64-linux-gnu.so", False),
        ("PIL/_webp.cpython-313-x86_64-linux-gnu.so", False),
        ("pillow.libs/libjpeg-6dc8d115.so.62.4.0", False),
        ("PIL/TiffImagePlugin.py", False),  # which reads EXIF
    ],
)
def test_only_a_models_own_code_gets_all_of_pillow(path: str, *, pruned: bool) -> None:
    assert is_pruned(PurePosixPath(path), "runtime", has_code=False) is pruned
    assert not is_pruned(PurePosixPath(path), "runtime")
    assert is_of_features(feature_requirements("image"))
    assert not is_of_features([*feature_requirements("image"), "matplotlib==3.11.0"])


@pytest.mark.parametrize(
    ("path", "kind", "pruned"),
    [
        ("botocore/data/ec2/2016-11-15/service-2.json.gz", "control", True),
        ("botocore/data/ec2/2016-11-15/service-2.json.gz", "runtime", False),
        ("botocore/data/lambda/2015-03-31/service-2.json.gz", "control", False),
        ("botocore/data/sso-oidc/2019-06-10/service-2.json.gz", "control", False),
        ("botocore/data/endpoints.json", "control", False),
        ("botocore/data/_retry.json", "control", False),
    ],
)
def test_control_keeps_the_services_that_it_calls(path: str, kind: Kind, *, pruned: bool) -> None:
    assert is_pruned(PurePosixPath(path), kind) is pruned


@pytest.mark.parametrize(
    ("path", "kind", "left_out"),
    [
        ("shearling/models/push.py", "runtime", True),
        ("shearling/converters/sklearn.py", "runtime", True),
        ("shearling_runtime/local.py", "runtime", True),
        ("shearling/loopback.py", "runtime", True),
        ("shearling/loopback.py", "control", True),
        ("shearling/package/build.py", "control", True),
        ("shearling/release/reconcile.py", "runtime", True),
        ("shearling/release/reconcile.py", "control", False),
        ("shearling/formats/onnx.py", "runtime", False),
        ("shearling/registry/registry.py", "runtime", False),
        ("shearling_runtime/control/releaser.py", "runtime", True),
        ("shearling_runtime/control/releaser.py", "control", False),
        ("shearling_runtime/releaser.py", "runtime", True),
        ("shearling_runtime/releaser.py", "control", False),
        ("shearling_runtime/handler.py", "runtime", False),
        ("shearling/registry/__pycache__/registry.cpython-311.pyc", "runtime", True),
        ("shearling/formats/.onnx.py.swp", "runtime", True),
    ],
)
def test_own_modules_go_where_they_are_used(path: str, kind: Kind, *, left_out: bool) -> None:
    assert is_own_left_out(PurePosixPath(path), kind) is left_out


def test_tests_are_pruned_unless_their_package_imports_them(tmp_path: Path) -> None:
    for package, source in {
        "plain": "import os\n",
        "selfish": "from .tests.runner import TestRunner\n",
    }.items():
        tests = tmp_path / package / "tests"
        tests.mkdir(parents=True)
        (tests / "runner.py").write_text("from plain.tests import runner\n")
        (tests.parent / "__init__.py").write_text(source)
    assert unimported_tests(tmp_path) == {PurePosixPath("plain/tests")}


# Which wheels


def test_everything_is_pinned() -> None:
    wheels = choose_wheels("runtime", [])
    assert wheels.names == {"numpy", "obstore", "onnxruntime", "orjson", "urllib3"}
    assert all("==" in line for line in wheels.constraints)
    assert wheels.names <= {line.split("==")[0] for line in wheels.constraints}
    assert wheels.notes == ()


def test_a_feature_adds_its_packages_pinned_and_nothing_else() -> None:
    wheels = choose_wheels("runtime", feature_requirements("parquet"))
    plain = choose_wheels("runtime", [])
    assert wheels.names - plain.names == {"arro3-core", "arro3-io"}
    assert all("==" in line for line in wheels.requirements if line.startswith("arro3"))
    assert wheels.notes == ()


def test_function_pins_hold_no_address() -> None:
    assert not any("/" in line for line in choose_wheels("control", []).constraints)


def test_models_own_pin_wins_and_is_reported() -> None:
    wheels = choose_wheels("runtime", ["NumPy==2.3.0", "scikit_learn==1.6.1"])
    assert {"NumPy==2.3.0", "scikit_learn==1.6.1", "cloudpickle"} <= set(wheels.requirements)
    assert "numpy" not in wheels.requirements
    assert not any(line.startswith("numpy==") for line in wheels.constraints)
    assert any("NumPy==2.3.0, as the model requires" in note for note in wheels.notes)


def test_only_an_exact_version_counts_as_pinned() -> None:
    wheels = choose_wheels("runtime", ["pandas>=2", "xgboost==3.0"])
    assert {"numpy", "xgboost", "cloudpickle"} <= wheels.pinned
    assert "pandas" not in wheels.pinned


def test_shearling_itself_never_comes_from_the_index() -> None:
    wheels = choose_wheels("runtime", ["shearling==0.0.1"])
    assert "shearling" not in wheels.names
    assert wheels.notes


@pytest.mark.parametrize(
    "requirement",
    [
        "--extra-index-url=somewhere",
        "-e .",
        "./wheels/model.whl",
        "model @ https://example.org/model.whl",
        "git+ssh://example.org/model",
        "numpy==2.0\n--no-deps",
        "",
    ],
)
def test_requirement_that_is_not_a_name_and_version_is_refused(requirement: str) -> None:
    with pytest.raises(PackageError, match="names and versions only"):
        choose_wheels("runtime", [requirement])


@pytest.mark.parametrize(
    "requirement",
    ["scikit-learn", "xgboost[pandas]>=2,<3", 'numpy==2.4.6; python_version >= "3.11"', "a~=1.0"],
)
def test_names_versions_extras_and_markers_are_understood(requirement: str) -> None:
    assert requirement in choose_wheels("runtime", [requirement]).requirements


def test_required_distributions_that_are_never_imported_are_dropped() -> None:
    found = [
        installed("onnxruntime", "numpy", "protobuf", "packaging"),
        installed("numpy"),
        installed("protobuf"),
        installed("packaging"),
        installed("xarray", "packaging"),
    ]
    assert needed(found, choose_wheels("runtime", [])) == {"numpy", "onnxruntime"}
    texts = [*found, installed("tokenizers", "huggingface-hub"), installed("huggingface-hub")]
    with_text = choose_wheels("runtime", feature_requirements("text"))
    assert needed(texts, with_text) == {"numpy", "onnxruntime", "tokenizers"}
    wanted = needed(found, choose_wheels("runtime", ["xarray==1"]))
    assert wanted == {"numpy", "onnxruntime", "packaging", "xarray"}


def installed(name: str, *requires: str) -> Installed:
    return Installed(name, "1", frozenset(requires), frozenset())


def test_requirements_are_for_runtime_packages_only(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="runtime package"):
        build_package("control", output=tmp_path / "c.zip", requirements=["pandas"])


def test_requirement_without_a_wheel_is_named_in_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ShearlingError) as refused:
        build_package("runtime", output=tmp_path / "r.zip", requirements=["orjson==0.0.1"])
    assert "no wheel of orjson==0.0.1 for Python 3.13 on x86_64" in str(refused.value)
    assert "://" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_conflicting_requirements_are_named(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"conflicting requirements: .*python-dateutil==2"):
        build_package(
            "runtime",
            output=tmp_path / "r.zip",
            requirements=["pandas==3.1.1", "python-dateutil==2.7.0"],
        )


def test_missing_pip_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pip = tmp_path / "python"
    without_pip.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    without_pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(without_pip))
    with pytest.raises(PackageError, match="pip is missing: run `python -m ensurepip`"):
        build_package("control", output=tmp_path / "c.zip")


# Finding and using a Python


def test_running_python_is_found() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = find_python(version)
    assert found is not None
    assert (python_release(found) or "").startswith(f"{version}.")


def test_missing_python_is_none() -> None:
    assert find_python("3.99") is None


def test_shim_that_does_not_start_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / "python3.98"
    shim.write_text("#!/bin/sh\necho 'not installed' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_python("3.98") is None


def test_compiling_is_reproducible_and_names_what_it_cannot(tmp_path: Path) -> None:
    interpreter = find_python(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert interpreter is not None
    compiled = []
    for directory in (tmp_path / "one", tmp_path / "two" / "deeper"):
        directory.mkdir(parents=True)
        (directory / "good.py").write_text("NAMES = frozenset({'a', 'b', 'c', 'd'})\n")
        (directory / "template.py").write_text("{{ not python }} %\n")
        assert compile_tree(directory, interpreter) == ["template.py"]
        (pyc,) = directory.rglob("*.pyc")
        compiled.append(pyc.read_bytes())
    assert compiled[0] == compiled[1]
    assert b"/var/task/good.py" in compiled[0]
    assert compiled[0][4] == 1  # the flags: by hash, not checked


# The zip


def test_zip_depends_on_names_and_contents_only(tmp_path: Path) -> None:
    names = [PurePosixPath(name) for name in ("b/x.py", "b.so", "a/lib.so.1", "é.txt")]
    zips = []
    for root, mode in ((tmp_path / "one", 0o600), (tmp_path / "two", 0o777)):
        random.Random(mode).shuffle(names)
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content of {name}\n" * 100)
            path.chmod(mode)
            os.utime(path, (mode, mode))
        sizes = write_zip(root / "package.zip", root, names)
        assert set(sizes) == set(names)
        zips.append(root / "package.zip")
    assert zips[0].read_bytes() == zips[1].read_bytes()
    with zipfile.ZipFile(zips[0]) as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
        times = {entry.date_time for entry in archive.infolist()}
    assert modes == {"b/x.py": 0o644, "b.so": 0o755, "a/lib.so.1": 0o755, "é.txt": 0o644}
    assert list(modes) == sorted(modes)
    assert times == {(1980, 1, 1, 0, 0, 0)}


# Real packages


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["runtime", "control"])
def test_package_is_the_same_bytes_when_built_again_elsewhere(kind: Kind, tmp_path: Path) -> None:
    first = built_package(kind)
    elsewhere = tmp_path / "another" / "temporary directory"
    elsewhere.mkdir(parents=True)
    again = tmp_path / "another" / "again.zip"
    code = (
        "import os, sys; from pathlib import Path; from shearling.package import build_package; "
        "os.umask(0o077); kind, python, architecture, output = sys.argv[1:]; "
        "print(build_package(kind, python=python, architecture=architecture, output=Path(output)))"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    subprocess.run(
        [sys.executable, "-c", code, kind, PYTHON, host_architecture(), again],
        check=True,
        cwd=elsewhere,
        env={**os.environ, "TMPDIR": str(elsewhere), "PYTHONHASHSEED": "7", "PYTHONPATH": paths},
    )
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (first, again)]
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_package_over_the_limit_is_refused_with_the_report(tmp_path: Path) -> None:
    output = tmp_path / "control.zip"
    output.write_text("the one from before")
    with pytest.raises(PackageError) as refused:
        build_package("control", python=PYTHON, output=output, unzipped_limit=1_000_000)
    message = str(refused.value)
    assert "Lambda's limit is 1,000,000" in message
    assert "botocore 1." in message
    assert "total" in message
    assert [path.name for path in tmp_path.iterdir()] == ["control.zip"]
    assert output.read_text() == "the one from before"


@pytest.mark.slow
def test_sources_are_left_out_where_that_makes_it_fit(tmp_path: Path) -> None:
    output = tmp_path / "control.zip"
    limit = sum(path.stat().st_size for path in _files(built_package("control"), tmp_path)) - 1
    report = build_package("control", python=PYTHON, output=output, unzipped_limit=limit)
    assert any("sources left out" in note for note in report.notes)
    assert report.unzipped_bytes == sum(item.unzipped_bytes for item in report.items) <= limit
    with zipfile.ZipFile(output) as archive:
        archive.extractall(tmp_path / "content")
    run_isolated(tmp_path / "content", "import boto3.session, obstore.store, dateutil.parser")


def _files(package: Path, root: Path) -> list[Path]:
    with zipfile.ZipFile(package) as archive:
        archive.extractall(root / "measured")
    return [path for path in (root / "measured").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_package_for_python_3_11_says_that_it_is_for_the_emulator(tmp_path: Path) -> None:
    report = build_package("control", python="3.11", output=tmp_path / "c.zip")
    assert any("for the emulator only" in note for note in report.notes)
    assert "for the emulator only" in str(report)
    assert report.sha256 == hashlib.sha256(report.path.read_bytes()).hexdigest()
    assert report.zipped_bytes == report.path.stat().st_size


@pytest.mark.slow
def test_package_without_a_python_to_compile_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shearling.package.build.find_python", lambda _: None)
    steps: list[str] = []
    report = build_package("control", output=tmp_path / "c.zip", progress=steps.append)
    assert report.compiled_by is None
    assert "not compiled, since Python 3.13 was not found" in str(report)
    assert steps[0] == "Getting wheels for Python 3.13 on x86_64"


@pytest.mark.slow
def test_package_is_built_for_another_architecture(tmp_path: Path) -> None:
    report = build_package("control", architecture="arm64", output=tmp_path / "c.zip")
    with zipfile.ZipFile(report.path) as archive:
        library = archive.read("obstore/_obstore.abi3.so")
    aarch64 = 183
    assert int.from_bytes(library[18:20], "little") == aarch64


@pytest.mark.slow
def test_runtime_is_within_its_budget(runtime: Path) -> None:
    unzipped = sum(path.stat().st_size for path in runtime.rglob("*") if path.is_file())
    assert unzipped <= RUNTIME_UNZIPPED_BUDGET < UNZIPPED_LIMIT
    assert built_package("runtime").stat().st_size <= RUNTIME_ZIPPED_BUDGET


@pytest.mark.slow
def test_runtime_holds_nothing_of_the_notebooks_side(runtime: Path) -> None:
    for module in ("aliases", "cli", "client", "converters", "models", "package", "release"):
        assert not list((runtime / "shearling").glob(f"{module}*"))
    for module in ("control", "releaser", "stager", "index"):
        assert not list((runtime / "shearling_runtime").glob(f"{module}*"))
    for distribution in ("boto3", "botocore", "onnx", "google", "packaging", "sympy"):
        assert not (runtime / distribution).exists()
    assert not [path for path in runtime.rglob("tests") if path.is_dir()]


@pytest.mark.slow
def test_runtime_is_compiled_beside_its_sources(runtime: Path) -> None:
    tag = f"cpython-{PYTHON.replace('.', '')}"
    for source in ("numpy/__init__", "shearling/errors"):
        directory, _, module = source.rpartition("/")
        assert (runtime / f"{source}.py").exists()
        assert (runtime / directory / "__pycache__" / f"{module}.{tag}.pyc").exists()


@pytest.mark.slow
def test_runtime_runs_a_model_where_nothing_else_is_installed(
    runtime: Path, tmp_path: Path
) -> None:
    node = helper.make_node("Add", ["x", "x"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy")
    graph = helper.make_graph([node], "double", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "double.onnx")
    answer = run_isolated(
        runtime,
        "import numpy, obstore.store, onnxruntime, orjson\n"
        "x = numpy.array([[1, 2], [3, 4]], numpy.float32)\n"
        "session = onnxruntime.InferenceSession(sys.argv[2])\n"
        "store = obstore.store.MemoryStore()\n"
        "store.put('y', orjson.dumps(session.run(None, {'x': x})[0].tolist()))\n"
        "from numpy import *\n"
        "print(bytes(store.get('y').bytes()).decode())",
        str(tmp_path / "double.onnx"),
    )
    assert json.loads(answer) == [[2, 4], [6, 8]]


@pytest.mark.slow
def test_every_module_of_ours_in_runtime_can_be_imported_there(runtime: Path) -> None:
    # Not the handler: importing it is starting the function.
    modules = [name for name in own_modules(runtime) if name != "shearling_runtime.handler"]
    run_isolated(
        runtime,
        "import importlib\nfor name in sys.argv[2:]:\n importlib.import_module(name)",
        *modules,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["runtime", "control"])
def test_functions_know_which_shearling_they_are(kind: str, request: pytest.FixtureRequest) -> None:
    answer = run_isolated(
        request.getfixturevalue(kind),
        "from shearling_runtime.http.router import shearling_version\nprint(shearling_version())",
    )
    assert answer.strip() == metadata.version("shearling")


@pytest.mark.slow
def test_control_makes_every_client_that_it_needs(control: Path) -> None:
    run_isolated(
        control,
        "import boto3, obstore.store, obstore.auth.boto3\n"
        "for service in ('lambda', 'sts', 's3', 'sns', 'sqs', 'kms', 'cloudwatch', 'sso-oidc'):\n"
        "    boto3.client(service, region_name='eu-central-1')\n"
        "try:\n"
        "    boto3.client('ec2', region_name='eu-central-1')\n"
        "except Exception as error:\n"
        "    assert type(error).__name__ == 'UnknownServiceError', error\n"
        "else:\n"
        "    raise AssertionError('ec2 is there')",
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["releaser", "stager", "index"])
def test_control_has_the_handler_names_of_functions_that_are_not_updated_yet(
    control: Path, name: str
) -> None:
    new = {"index": "catalog"}.get(name, name)
    run_isolated(
        control,
        f"from shearling_runtime import {name}\nfrom shearling_runtime.control import {new}\n"
        f"assert {name}.handler is {new}.handler",
    )


def test_the_runtime_may_import_only_what_is_in_its_package() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    contract = project["tool"]["importlinter"]["contracts"][-1]
    left_out = [f"shearling.{module}" for module in LEFT_OUT_OF_FUNCTIONS["shearling"]]
    root = REPOSITORY / "lambda_runtime" / "shearling_runtime"
    modules = {path.stem for path in root.glob("[!_]*.py")}
    modules |= {path.parent.name for path in root.glob("*/__init__.py")}
    old_handlers = {"releaser", "stager", "index"}
    not_packaged = {"local", "local_jobs", "measure"} | old_handlers
    assert contract["source_modules"] == [
        f"shearling_runtime.{module}" for module in sorted(modules - not_packaged)
    ]
    assert contract["forbidden_modules"] == left_out


def own_modules(package: Path) -> list[str]:
    sources = [
        path for own in ("shearling", "shearling_runtime") for path in (package / own).rglob("*.py")
    ]
    dotted = (
        path.relative_to(package).with_suffix("").as_posix().replace("/", ".") for path in sources
    )
    return sorted(name.removesuffix(".__init__") for name in dotted)
