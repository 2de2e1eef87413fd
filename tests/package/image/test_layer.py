from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from shearling.package.image.layer import write_layer

if TYPE_CHECKING:
    from random import Random

    import pytest

CODE = PurePosixPath("var/task")
NAMES = st.lists(
    st.sampled_from(["a.py", "b.py", "café.txt", "native.cpython-313.so", "x" * 150]), min_size=1
)
PATHS = st.dictionaries(NAMES.map(lambda parts: PurePosixPath(*parts)), st.binary(max_size=50))


def tree(root: Path, files: dict[PurePosixPath, bytes]) -> list[PurePosixPath]:
    """Write files; a path that is also a directory of another is left out."""
    kept = {n: c for n, c in files.items() if not any(n in other.parents for other in files)}
    for name, content in kept.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return list(kept)


@given(PATHS, st.randoms())
def test_a_layer_depends_only_on_names_and_contents(
    tmp_path_factory: pytest.TempPathFactory, files: dict[PurePosixPath, bytes], random: Random
) -> None:
    root = tmp_path_factory.mktemp("layer")
    names = tree(root, files)
    first = write_layer(root.with_suffix(".1"), root, names, prefix=CODE)
    for name in names:
        (root / name).chmod(random.choice([0o600, 0o777]))
        os.utime(root / name, (random.randrange(10**9), random.randrange(10**9)))
    random.shuffle(names)
    second = write_layer(root.with_suffix(".2"), root, names, prefix=CODE)

    assert first.path.read_bytes() == second.path.read_bytes()
    assert (first.descriptor, first.diff_id) == (second.descriptor, second.diff_id)


def test_a_layer_has_links(tmp_path: Path) -> None:
    links = {PurePosixPath("python"): "/usr/bin/python3.13"}
    layer = write_layer(tmp_path / "layer", tmp_path, [], prefix=CODE, links=links)
    with tarfile.open(layer.path) as archive:
        [link] = archive.getmembers()
    assert (link.name, link.linkname) == ("var/task/python", "/usr/bin/python3.13")


@given(PATHS)
def test_a_layer_has_the_files_under_its_prefix_and_the_digests_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, files: dict[PurePosixPath, bytes]
) -> None:
    root = tmp_path_factory.mktemp("layer")
    names = tree(root, files)
    layer = write_layer(root.with_suffix(".tar.gz"), root, names, prefix=CODE)

    packed = layer.path.read_bytes()
    plain = gzip.decompress(packed)
    assert layer.descriptor.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.descriptor.size == len(packed)
    assert layer.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        found = {e.name: archive.extractfile(e).read() for e in archive if e.isfile()}  # type: ignore[union-attr]
        assert found == {f"{CODE}/{name}": (root / name).read_bytes() for name in names}
        for entry in archive.getmembers():
            assert (entry.uid, entry.gid, entry.mtime) == (0, 0, 0)
            is_open = entry.isdir() or ".so" in PurePosixPath(entry.name).suffixes
            assert entry.mode == (0o755 if is_open else 0o644)
