"""The reference pages have everything that the code has."""

from __future__ import annotations

import re

import pytest

import shearling
from shearling import errors
from shearling.bundle import manifest
from tests.support.markdown import DOCS, REPOSITORY, headings, section

REFERENCE = DOCS / "reference"
SOURCES = ("sdk", "lambda_runtime", "terraform", "tests", "examples")


def error_classes() -> list[type[errors.ShearlingError]]:
    return [
        getattr(errors, name)
        for name in shearling.__all__
        if name.endswith("Error") and hasattr(errors, name)
    ]


def test_every_public_name_is_documented() -> None:
    page = (REFERENCE / "python.md").read_text()
    documented = set(re.findall(r"^::: shearling\.(\w+)$", page, re.MULTILINE))
    others = {name for name in shearling.__all__ if not name.endswith("Error")}
    assert documented >= others


def test_every_variable_is_documented() -> None:
    page = (REFERENCE / "environment.md").read_text()
    used = {
        name
        for folder in SOURCES
        for suffix in ("*.py", "*.tf")
        for path in (REPOSITORY / folder).rglob(suffix)
        if ".terraform" not in path.parts
        for name in re.findall(r"\bSHEARLING_[A-Z_]*[A-Z]\b", path.read_text())
    }
    assert {name for name in used if f"| `{name}` |" not in page} == set()


def test_whatever_a_manifest_can_require_is_documented() -> None:
    page = (DOCS / "concepts" / "registry-layout.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| `requires` |")]
    assert {name for name in manifest._KNOWN_REQUIREMENTS if f"`{name}`:" not in row} == set()


@pytest.mark.parametrize(
    "error",
    [each for each in error_classes() if "status" in vars(each)],
    ids=lambda error: error.__name__,
)
def test_every_status_is_documented_with_its_error(error: type[errors.InferenceError]) -> None:
    page = (REFERENCE / "errors.md").read_text()
    if error is not errors.InferenceError:
        assert f"| {error.status} | `{error.__name__}` |" in page


@pytest.mark.parametrize("package", ["sdk/shearling", "lambda_runtime/shearling_runtime"])
def test_layout_names_every_folder_and_no_other(package: str) -> None:
    page = (DOCS / "contributing" / "layout.md").read_text()
    described = section(page, next(line for line in headings(page) if f"`{package}`" in line))
    named = set(re.findall(r"^\| `(\w+)/`", described, re.MULTILINE))
    folders = {path.parent.name for path in (REPOSITORY / package).glob("*/__init__.py")}
    assert named == folders


def test_tree_of_errors_has_every_class_below_its_base() -> None:
    tree = [line for line in (errors.__doc__ or "").splitlines() if "Error" in line]
    depths = {
        re.findall(r"\w+Error", line)[0]: line.index(re.findall(r"\w+", line)[0]) for line in tree
    }
    for error in error_classes():
        assert error.__name__ in depths
        if error is not errors.ShearlingError:
            assert depths[error.__name__] == depths[error.__bases__[0].__name__] + 3
