"""Build a function package from wheels and our own modules: prune, compile, zip and measure."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING

from shearling.errors import PackageError
from shearling.package.archive import write_zip
from shearling.package.build_target import Architecture, Kind, Target
from shearling.package.interpreters import compile_tree, find_python, python_release
from shearling.package.prune import is_own_left_out, is_pruned, unimported_tests
from shearling.package.report import PackageItem, PackageReport
from shearling.package.wheels import (
    Installed,
    choose_wheels,
    install_wheels,
    installed,
    is_of_features,
    needed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

#: Lambda's limit in bytes for code and layers together, unzipped.
UNZIPPED_LIMIT = 262_144_000
_DIRECT_UPLOAD_LIMIT = 50 * 1024 * 1024
_NOT_ZIPPED: Mapping[PurePosixPath, int] = MappingProxyType({})
_OWN_PACKAGES = ("shearling", "shearling_runtime")


def build_package(
    kind: Kind,
    *,
    python: str = "3.13",
    architecture: Architecture = "x86_64",
    output: Path,
    requirements: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
    unzipped_limit: int = UNZIPPED_LIMIT,
) -> PackageReport:
    """Build the zip of a function and write it to `output`.

    Equal arguments give equal bytes on every machine that compiles with the same Python release.

    Args:
        kind: "runtime" (the function that serves a model) or "control" (releaser, stager,
            catalog and planner).
        python: major and minor version of the Lambda runtime, as in `3.13`.
        architecture: architecture of the Lambda function.
        output: path of the zip; an existing file is replaced only if the new one is complete and
            within the limit.
        requirements: packages of a pickled model, as in `scikit-learn==1.6.1`.
        progress: called with a sentence before each step.
        unzipped_limit: maximum total size of the files in bytes.

    Raises:
        PackageError: a package has no wheel for the Python and architecture, requirements
            conflict, or the files exceed the limit; then the message has the sizes.
    """
    target = Target(kind=kind, python=python, architecture=architecture)
    if requirements and kind != "runtime":
        raise PackageError(
            f"a {kind} package takes no requirements of a model: build a runtime package"
        )
    with tempfile.TemporaryDirectory(prefix="shearling-package-") as directory:
        content = collect_content(target, requirements, Path(directory, "content"), progress)
        if not target.runs_on_aws:
            content.notes.insert(0, _emulator_only(target))
        if content.size > unzipped_limit and content.leave_out_sources():
            content.notes.append(
                "sources left out to meet the size limit: tracebacks have line numbers, but no "
                "source lines."
            )
        progress(f"Zipping {output.name}")
        return _write(content, output, unzipped_limit)


def collect_content(
    target: Target, requirements: Sequence[str], root: Path, progress: Callable[[str], None]
) -> Content:
    """Collect the files of a package in a directory: wheels, pruned and compiled, and our modules.

    Args:
        target: kind, Python and architecture of the package.
        requirements: packages of a pickled model.
        root: directory to create.
        progress: called with a sentence before each step.

    Raises:
        PackageError: a package has no wheel for the target, or requirements conflict.
    """
    wheels = choose_wheels(target.kind, requirements)
    content = Content(root, target)
    progress(f"Getting wheels for Python {target.python} on {target.architecture}")
    install_wheels(wheels, target, root)
    progress("Removing files that functions do not need")
    distributions = installed(root)
    content.claim(distributions)
    required = needed(distributions, wheels)
    content.prune(keep=required, has_code=not is_of_features(requirements))
    content.add_own_modules()
    if unpinned := required - wheels.pinned:
        content.notes.append(
            f"not pinned, so a later build may differ: {', '.join(sorted(unpinned))}."
        )
    content.notes += wheels.notes
    content.compile(progress)
    return content


def own_files(kind: Kind) -> dict[PurePosixPath, Path]:
    """Return our own modules for a package: path in the package -> local file."""
    files = {}
    for package in _OWN_PACKAGES:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise PackageError(
                f"module {package} is not installed, but function packages contain it: install "
                "shearling in this environment"
            )
        for source in spec.submodule_search_locations:
            for path in Path(source).rglob("*"):
                name = PurePosixPath(package, *path.relative_to(source).parts)
                if path.is_file() and not is_own_left_out(name, kind):
                    files[name] = path
    return files


@dataclass(slots=True)
class Content:
    """The files of a package while it is built.

    Attributes:
        root: directory of the files.
        target: kind, Python and architecture of the package.
        versions: version of each distribution.
        owners: distribution of each file.
        pruned: bytes removed from each distribution.
        compiled_by: Python release that compiled the modules; None if they are not compiled.
        notes: sentences about deviations, for the report.
    """

    root: Path
    target: Target
    versions: dict[str, str] = field(default_factory=dict)
    owners: dict[PurePosixPath, str] = field(default_factory=dict)
    pruned: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    compiled_by: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[PurePosixPath]:
        """The paths of all files, sorted."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(PurePosixPath(path.relative_to(self.root)) for path in paths)

    @property
    def size(self) -> int:
        """The total size of the files in bytes."""
        return sum((self.root / name).stat().st_size for name in self.files)

    def claim(self, distributions: Iterable[Installed]) -> None:
        """Record the version and the files of each distribution."""
        for distribution in distributions:
            self.versions[distribution.name] = distribution.version
            self.owners.update(dict.fromkeys(distribution.files, distribution.name))

    def prune(self, *, keep: AbstractSet[str], has_code: bool) -> None:
        """Delete other distributions than those to keep, and files that functions do not need.

        Args:
            keep: names of the distributions to keep.
            has_code: whether the code of a model may run.
        """
        tests = unimported_tests(self.root)
        for name in self.files:
            owner = self.owners.setdefault(name, name.parts[0])
            if (
                owner not in keep
                or is_pruned(name, self.target.kind, has_code=has_code)
                or not tests.isdisjoint(name.parents)
            ):
                self._delete(name)

    def add_own_modules(self) -> None:
        """Copy our own modules, and write our version."""
        for name, source in own_files(self.target.kind).items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
            self.owners[name] = name.parts[0]
        self._write_own_metadata()

    def _write_own_metadata(self) -> None:
        """Write Shearling's version to a METADATA file for `importlib.metadata`."""
        try:
            version = metadata.version("shearling")
        except metadata.PackageNotFoundError:  # the sources are on the path without installation
            return
        name = PurePosixPath(f"shearling-{version}.dist-info", "METADATA")
        (self.root / name).parent.mkdir(exist_ok=True)
        text = f"Metadata-Version: 2.1\nName: shearling\nVersion: {version}\n"
        (self.root / name).write_text(text, encoding="utf-8")
        self.owners[name] = "shearling"
        self.versions["shearling"] = version

    def compile(self, progress: Callable[[str], None]) -> None:
        """Compile every module, if the target's Python is installed here."""
        interpreter = find_python(self.target.python)
        if interpreter is None:
            self.notes.append(
                f"not compiled, since Python {self.target.python} was not found: it starts more "
                "slowly."
            )
            return
        progress(f"Compiling with {interpreter}")
        failed = compile_tree(self.root, interpreter)
        self.compiled_by = python_release(interpreter)
        self.notes.append(f"compiled by Python {self.compiled_by}.")
        if failed:
            self.notes.append(f"modules that could not be compiled: {', '.join(failed)}.")

    def leave_out_sources(self) -> bool:
        """Replace each source by its compiled module; return whether there were any."""
        compiled = [name for name in self.files if name.suffix == ".pyc"]
        for name in compiled:
            source = _source_of(name)
            self._delete(source)
            (self.root / name).rename((self.root / source).with_suffix(".pyc"))
        return bool(compiled)

    def items(self, zipped: Mapping[PurePosixPath, int] = _NOT_ZIPPED) -> tuple[PackageItem, ...]:
        """Return the sizes of each distribution, the largest first.

        Args:
            zipped: compressed size of each file, if they are compressed one by one.
        """
        sizes: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for name in self.files:
            share = sizes[self.owners[_source_of(name)]]
            share[0] += (self.root / name).stat().st_size
            share[1] += zipped.get(name, 0)
        items = (
            PackageItem(
                name=owner,
                version=self.versions.get(owner, ""),
                unzipped_bytes=sizes[owner][0],
                zipped_bytes=sizes[owner][1],
                pruned_bytes=self.pruned[owner],
            )
            for owner in {*sizes, *self.pruned}
        )
        return tuple(sorted(items, key=lambda item: (-item.unzipped_bytes, item.name)))

    def _delete(self, name: PurePosixPath) -> None:
        path = self.root / name
        self.pruned[self.owners[name]] += path.stat().st_size
        path.unlink()


def _source_of(name: PurePosixPath) -> PurePosixPath:
    """Return the source path of a compiled module, or the path of any other file itself."""
    if name.suffix != ".pyc":
        return name
    directory = name.parent.parent if name.parent.name == "__pycache__" else name.parent
    return directory / f"{name.name.split('.')[0]}.py"


def _emulator_only(target: Target) -> str:
    return (
        f"for the emulator only: Lambda's runtime python{target.python} is Amazon Linux 2, "
        "where current wheels do not run."
    )


def _write(content: Content, output: Path, limit: int) -> PackageReport:
    unzipped = content.size
    output.parent.mkdir(parents=True, exist_ok=True)
    # In the same directory, so that the rename is atomic: Terraform may be reading the output.
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        zipped = write_zip(partial, content.root, content.files)
        if partial.stat().st_size > _DIRECT_UPLOAD_LIMIT:
            content.notes.append(
                "over 50 MB zipped: deploy it from S3, as Shearling's Terraform module does."
            )
        report = PackageReport(
            target=content.target,
            path=output,
            sha256=hashlib.sha256(partial.read_bytes()).hexdigest(),
            unzipped_bytes=unzipped,
            zipped_bytes=partial.stat().st_size,
            compiled_by=content.compiled_by,
            items=content.items(zipped),
            notes=tuple(content.notes),
        )
        if unzipped > limit:
            raise PackageError(
                f"{output.name} would have {unzipped:,} bytes unzipped, but Lambda's limit is "
                f"{limit:,}: push the model as ONNX, or with fewer requirements\n{report}"
            )
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return report
