"""Install wheels of pinned versions for a target machine into a directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from importlib.resources import files
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from shearling.errors import PackageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shearling.package.build_target import Kind, Target

_MODEL_ROOTS = ("numpy", "obstore", "onnxruntime", "orjson", "urllib3")
_ROOTS: dict[Kind, tuple[str, ...]] = {
    "runtime": _MODEL_ROOTS,
    "control": ("boto3", "numpy", "obstore", "orjson"),  # numpy: the planner reads data
    "image": (
        *_MODEL_ROOTS,
        "awslambdaric",  # for Lambda; the others are for the server
        "httptools",
        "prometheus-client",
        "uvicorn",
        "uvloop",
    ),
}
#: What `--with` adds by one word -> the packages that it needs.
FEATURES = {"image": ("pillow",), "parquet": ("arro3-core", "arro3-io"), "text": ("tokenizers",)}

# Required by the metadata, but not imported by any code that functions run. A test imports
# without them.
_UNUSED: dict[str, frozenset[str]] = {
    "obstore": frozenset({"typing-extensions"}),
    "onnxruntime": frozenset({"flatbuffers", "packaging", "protobuf"}),
    "tokenizers": frozenset({"huggingface-hub"}),
}
_OWN = "shearling"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
# A name with versions and markers, without options and addresses: requirements come from a bundle,
# and their packages must come from the index that pip is configured with.
_REQUIREMENT = re.compile(
    _NAME.pattern + r" *(?:\[[\w ,.-]*\])? *(?:[<>=!~][\w .,*+!<>=~-]*)?(?:;[^\n/]*)?"
)
_UNSATISFIED = re.compile(r"ERROR: No matching distribution found for (.+)")
_CONFLICT = re.compile(r"ERROR: Cannot install (.+?) because these package versions have")
_ADDRESS = re.compile(r"\w+://\S+")


@dataclass(frozen=True, slots=True)
class WheelSet:
    """The packages that pip installs.

    Attributes:
        requirements: requirements to install.
        constraints: lines `name==version` that pin their dependencies.
        notes: sentences about pins that a model's requirements replace.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        """The normalised names of the requirements."""
        return {name_of(requirement) for requirement in self.requirements}

    @property
    def pinned(self) -> set[str]:
        """The normalised names of the packages with an exact version."""
        return {name_of(line) for line in (*self.constraints, *self.requirements) if "==" in line}


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed distribution.

    Attributes:
        name: normalised name.
        version: version.
        requires: normalised names of its requirements, including those of extras.
        files: paths of its files, relative to the directory that it is installed in.
    """

    name: str
    version: str
    requires: frozenset[str]
    files: frozenset[PurePosixPath]


def name_of(requirement: str) -> str:
    """Return the normalised name of the distribution in a requirement."""
    match = _NAME.match(requirement)
    if match is None:
        raise PackageError(
            f"requirement {requirement!r}: expected a name and a version, as in "
            "'scikit-learn==1.6.1'"
        )
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def choose_wheels(kind: Kind, model_requirements: Sequence[str]) -> WheelSet:
    """Merge our pins with a model's requirements, which take precedence.

    Args:
        kind: kind of the package.
        model_requirements: requirements of a pickled model.

    Raises:
        PackageError: a requirement has an address, a path or an option.
    """
    wanted = {name_of(line): line for line in map(_checked_requirement, model_requirements)}
    notes = []
    if wanted.pop(_OWN, None) is not None:
        notes.append("shearling is copied from this environment; the model's pin is ignored.")
    # Objects that were pickled by value need cloudpickle, even if the model does not list it.
    is_pickle = not wanted.keys() <= {*chain.from_iterable(FEATURES.values())}
    roots = (*_ROOTS[kind], "cloudpickle") if is_pickle else _ROOTS[kind]
    constraints = []
    for pin in _pins():
        chosen = wanted.get(name_of(pin), pin)
        if chosen != pin:
            notes.append(f"{chosen}, as the model requires, instead of {pin}.")
        elif name_of(pin) not in wanted:
            constraints.append(pin)
    return WheelSet(
        requirements=(*(root for root in roots if root not in wanted), *wanted.values()),
        constraints=tuple(constraints),
        notes=tuple(notes),
    )


def feature_requirements(name: str) -> tuple[str, ...]:
    """Return the pinned packages of a feature; none for another word."""
    needed = FEATURES.get(name, ())
    return tuple(pin for pin in _pins() if name_of(pin) in needed)


def is_of_features(requirements: Sequence[str]) -> bool:
    """Return whether requirements are those of features alone, and of no model's code."""
    pins = {pin for name in FEATURES for pin in feature_requirements(name)}
    return pins.issuperset(requirements)


def install_wheels(wheels: WheelSet, target: Target, root: Path) -> None:
    """Install wheels for a target under `root`.

    Raises:
        PackageError: pip fails, for example because a package has no wheel for the target.
    """
    constraints = root.with_name("constraints.txt")
    constraints.write_text("".join(f"{line}\n" for line in wheels.constraints))
    options = ["--quiet", "--no-input", "--no-compile", "--disable-pip-version-check"]
    done = subprocess.run(  # noqa: S603 - pip, with arguments that are checked above
        [
            *(sys.executable, "-m", "pip", "install", *options),
            *(f"--target={root}", f"--constraint={constraints}"),
            *target.pip_arguments,
            *wheels.requirements,
        ],
        capture_output=True,
        text=True,
        check=False,
        # Constraints of the user or a Makefile must not change a package. Index settings are kept.
        env={**os.environ, "PIP_CONSTRAINT": "", "PIP_USER": "0"},
    )
    if done.returncode != 0:
        raise PackageError(_pip_problem(done.stderr, target))


def installed(root: Path) -> list[Installed]:
    """Return the distributions that are installed under `root`."""
    return [
        Installed(
            name=name_of(found.metadata["Name"]),
            version=found.version,
            # Markers and extras are not evaluated here: pip installed only what they select.
            requires=frozenset(map(name_of, found.requires or ())),
            # pip records scripts as `../../bin/x`, relative to a regular installation.
            files=frozenset(
                PurePosixPath(*(part for part in path.parts if part != ".."))
                for path in found.files or ()
            ),
        )
        for found in distributions(path=[str(root)])
    ]


def needed(installed: Sequence[Installed], wheels: WheelSet) -> set[str]:
    """Return the names of the distributions that the requirements need, directly or indirectly."""
    required = {found.name: found.requires for found in installed}
    pending, reached = set(wheels.names), set[str]()
    while pending:
        name = pending.pop()
        if name in required and name not in reached:
            reached.add(name)
            pending |= required[name] - _UNUSED.get(name, frozenset())
    return reached


def _checked_requirement(requirement: str) -> str:
    line = requirement.strip()
    if not _REQUIREMENT.fullmatch(line):
        raise PackageError(
            f"requirement {requirement!r}: a function package takes names and versions only, "
            "as in 'scikit-learn==1.6.1', and no addresses, paths or options"
        )
    return line


def _pins() -> Iterable[str]:
    text = files("shearling.package").joinpath("constraints.txt").read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _pip_problem(output: str, target: Target) -> str:
    where = f"Python {target.python} on {target.architecture}"
    if "No module named pip" in output:
        return f"pip is missing: run `{Path(sys.executable).name} -m ensurepip` in this environment"
    if unsatisfied := _UNSATISFIED.search(output):
        return (
            f"no wheel of {unsatisfied[1].strip()} for {where}, and packages are built from wheels "
            "only: require a version that has one, choose another Python or architecture, or "
            "check that pip can reach its index"
        )
    if conflict := _CONFLICT.search(output):
        return (
            f"conflicting requirements: {conflict[1]}. Push the model with versions that are "
            "compatible"
        )
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    reason = _ADDRESS.sub("<address>", " ".join(errors) or output.strip()[-500:])
    return f"pip could not install the wheels for {where}: {reason}"
