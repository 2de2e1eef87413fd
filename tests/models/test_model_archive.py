"""Which archives are unpacked, and which of their files is the model."""

from __future__ import annotations

import gzip
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shearling.errors import FormatError
from shearling.models import model_archive
from shearling.models.model_archive import only_model, unpack
from tests.support.training_jobs import archive


def unpacked(directory: Path, content: bytes) -> list[Path]:
    path = directory / "model.tar.gz"
    path.write_bytes(content)
    return unpack(path, directory / "model")


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def test_files_are_unpacked_with_their_directories(tmp_path: Path) -> None:
    files = unpacked(tmp_path, archive({"./model.onnx": b"graph", "data/weights": b"many"}))
    assert files == [Path("model.onnx"), Path("data/weights")]
    assert (tmp_path / "model" / "data" / "weights").read_bytes() == b"many"


@pytest.mark.parametrize(
    ("hostile", "reason"),
    [
        (member("../evil.onnx"), r"'\.\./evil\.onnx' in the archive has '\.\.' in its path"),
        (member("a/../../evil"), r"'a/\.\./\.\./evil' in the archive has '\.\.' in its path"),
        (member("/tmp/evil.onnx"), "'/tmp/evil.onnx' in the archive has an absolute path"),
        (member("link", tarfile.SYMTYPE, "/etc/passwd"), "is a link to '/etc/passwd'"),
        (member("inside", tarfile.SYMTYPE, "model.onnx"), "is a link to 'model.onnx'"),
        (member("hard", tarfile.LNKTYPE, "model.onnx"), "'hard' in the archive is a link"),
        (member("null", tarfile.CHRTYPE), "'null' in the archive is a device or a pipe"),
        (member("disk", tarfile.BLKTYPE), "'disk' in the archive is a device or a pipe"),
        (member("pipe", tarfile.FIFOTYPE), "'pipe' in the archive is a device or a pipe"),
        (member("a\\b"), "has a backslash"),
        (member("model.onnx"), "has 'model.onnx' twice"),
        (member("./model.onnx"), "has './model.onnx' twice"),
    ],
)
def test_a_member_that_is_no_file_below_the_target_is_refused_by_name(
    tmp_path: Path, hostile: tarfile.TarInfo, reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        unpacked(tmp_path, archive({"model.onnx": b"graph"}, hostile))
    assert not (tmp_path / "model").exists()


def test_a_file_that_is_declared_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    huge = member("zeros")
    huge.size = model_archive.MOST_BYTES + 1
    with pytest.raises(FormatError, match=r"more than .* unpacked"):
        unpacked(tmp_path, gzip.compress(huge.tobuf() + bytes(4096)))


def test_many_files_that_are_too_large_together_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_archive, "MOST_BYTES", 10_000)
    with pytest.raises(FormatError, match="unpacked"):
        unpacked(tmp_path, archive({f"part-{i}": bytes(3_000) for i in range(4)}))


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_archive, "MOST_MEMBERS", 3)
    with pytest.raises(FormatError, match="more than 3 members"):
        unpacked(tmp_path, archive(dict.fromkeys("abcd", b"")))


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = member("pax", tarfile.XHDTYPE)
    header.size = 100_000_000
    content = gzip.compress(header.tobuf() + bytes(header.size), compresslevel=1)
    assert len(content) < 1_000_000
    with pytest.raises(FormatError, match="header"):
        unpacked(tmp_path, content)


def test_a_file_that_is_also_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be unpacked"):
        unpacked(tmp_path, archive({"model.onnx": b"graph", "model.onnx/weights": b"many"}))


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    header = bytearray(member("model.onnx").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1,024 in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(FormatError, match=r"negative size|damaged"):
        unpacked(tmp_path, gzip.compress(bytes(header) + bytes(4_096)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        gzip.compress(b"no archive" * 1000),
        archive({"model.onnx": bytes(range(256)) * 100})[:-40],
        b"\x1f\x8b\x08\x00" + b"damaged" * 10,
    ],
    ids=["empty", "no-gzip", "no-tar", "cut", "damaged-gzip"],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(FormatError, match=r"model\.tar\.gz is damaged"):
        unpacked(tmp_path, content)


@given(st.binary(max_size=2_000), st.integers(0, 5_000))
def test_any_bytes_in_an_archive_are_unpacked_or_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, position: int
) -> None:
    directory = tmp_path_factory.mktemp("noise")
    content = bytearray(gzip.decompress(archive({"model.onnx": bytes(1_000), "b": b"2"})))
    content[position : position + len(noise)] = noise
    with suppress(FormatError):
        unpacked(directory, gzip.compress(bytes(content)))
    assert {path.name for path in directory.iterdir()} <= {"model.tar.gz", "model"}


def test_the_only_onnx_file_is_the_model_whatever_else_is_there() -> None:
    files = [Path("code/train.py"), Path("a/fraud.ONNX"), Path("a/weights.bin"), Path("log.pkl")]
    assert only_model(files, allow_pickle=False) == Path("a/fraud.ONNX")


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl", "nested/model.pickle"])
def test_a_pickle_is_the_model_only_where_it_is_allowed(name: str) -> None:
    assert only_model([Path(name)], allow_pickle=True) == Path(name)
    with pytest.raises(FormatError, match=r"only a pickle .* allow_pickle=True"):
        only_model([Path(name)], allow_pickle=False)


@pytest.mark.parametrize("names", [("a.onnx", "b.onnx"), ("a.onnx", "b.pkl"), ("a.pkl", "b.pkl")])
def test_several_models_are_refused_by_name(names: tuple[str, str]) -> None:
    with pytest.raises(FormatError, match=rf"2 models \('{names[0]}', '{names[1]}'\)"):
        only_model([Path(name) for name in names], allow_pickle=True)


def test_an_archive_without_a_model_says_what_it_has() -> None:
    with pytest.raises(FormatError, match=r"no model \('model\.pth'\): let the job save an \.onnx"):
        only_model([Path("model.pth")], allow_pickle=True)
    with pytest.raises(FormatError, match="it is empty"):
        only_model([], allow_pickle=False)
