"""The stager on a real directory: concurrent, killed, on a full disk; and prune."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shearling.bundle.digests import Descriptor, Proof, describe, digest_of
from shearling.bundle.manifest import Manifest
from shearling.errors import ReleaseError
from shearling.registry.registry import Registry
from shearling.storage.blobs import BLOBS, blob_key
from shearling_runtime.control import attempts, stager
from tests.support.bundles import Bundle, scaling_bundle
from tests.support.schema_1 import Attack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shearling.refs import Pin

NEVER = float("inf")
STAGED = {"outcome": "staged"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

#: Stages a bundle in its own process.
STAGE = """
import sys
from pathlib import Path
from shearling.refs import Pin
from shearling.registry.registry import Registry
from shearling_runtime.control.stager import stage
print("ready", flush=True)
print(stage(Registry(sys.argv[1]), Path(sys.argv[2]), Pin.parse(sys.argv[3]), end=float("inf")))
"""


@dataclass(frozen=True, slots=True)
class Staged:
    """A bundle in a registry, and a directory where a file system would be mounted."""

    registry: Registry
    mount: Path
    pin: Pin
    manifest: Manifest

    def stage(self, **options: Any) -> dict[str, Any]:
        options = {"end": NEVER, **options}
        return stager.stage(self.registry, self.mount, self.pin, **options)

    def names(self) -> set[str]:
        """The names of all files of the complete bundle."""
        return {hex_of(self.pin), *(file.hex for file in self.manifest.files)}

    def is_whole(self) -> bool:
        """Whether the directory has all files of the bundle, verified, and no others."""
        there = {path.name: path.read_bytes() for path in (self.mount / BLOBS).iterdir()}
        if set(there) != self.names() or digest_of(there[hex_of(self.pin)]) != self.pin.digest:
            return False
        return all(digest_as(file, there[file.hex]) == file.digest for file in self.manifest.files)


def digest_as(file: Descriptor, data: bytes) -> str:
    proof = Proof(file)
    proof.update(data)
    return proof.digest()


def named_digest(staged: Staged, path: Path) -> str:
    """The digest of a file, as the manifest describes the file of its name."""
    files = {file.hex: file for file in staged.manifest.files}
    data = path.read_bytes()
    return digest_as(files[path.name], data) if path.name in files else digest_of(data)


def hex_of(pin: Pin) -> str:
    return pin.digest.removeprefix("sha256:")


def bundle_with(directory: Path, size: int) -> Bundle:
    """Return a bundle with an additional file of random bytes."""
    bundle = scaling_bundle(directory)
    ballast = directory / "ballast"
    part, chance = 10_000_000, random.Random(size)
    with ballast.open("wb") as stream:
        for _ in range(size // part):
            stream.write(chance.randbytes(part))
    with ballast.open("rb") as stream:
        descriptor = describe("ballast", stream)
    fields = {name: getattr(bundle.manifest, name) for name in Manifest.__slots__}
    manifest = Manifest(**{**fields, "files": (*bundle.manifest.files, descriptor)})
    return Bundle(manifest, {**bundle.files, "ballast": ballast})


def published(directory: Path, size: int, mount: Path) -> Staged:
    bundle = bundle_with(directory, size)
    registry = Registry(directory / "registry")
    return Staged(registry, mount, bundle.publish(registry).pin, bundle.manifest)


@pytest.fixture
def staged(tmp_path: Path) -> Staged:
    mount = tmp_path / "mount"
    mount.mkdir()
    return published(tmp_path, 20_000_000, mount)


def logged_bytes(capfd: pytest.CaptureFixture[str]) -> int:
    """Return the number of fetched bytes in the stager's log."""
    (line,) = map(json.loads, capfd.readouterr().out.splitlines())
    assert line["event"] == "staged"
    return int(line["bytes"])


# Staging


def test_a_staged_bundle_has_its_digests_as_names_manifest_included(staged: Staged) -> None:
    assert not stager.ensure_staged(staged.mount, staged.pin)
    assert staged.stage() == {"outcome": "staged"}
    assert staged.is_whole()


def test_files_that_two_versions_share_are_copied_once(
    staged: Staged, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    staged.stage()
    ballast = staged.manifest.file("ballast")
    before = (staged.mount / BLOBS / ballast.hex).stat().st_ino
    capfd.readouterr()
    (tmp_path / "other").mkdir()
    other = scaling_bundle(tmp_path / "other", factor=5.0)
    fields = {name: getattr(other.manifest, name) for name in Manifest.__slots__}
    manifest = Manifest(**{**fields, "files": (*other.manifest.files, ballast)})
    files = {**other.files, "ballast": tmp_path / "ballast"}
    pin = staged.registry.publish(manifest, files, {}).version.pin
    assert stager.stage(staged.registry, staged.mount, pin, end=NEVER) == {"outcome": "staged"}
    assert logged_bytes(capfd) < ballast.size
    assert (staged.mount / BLOBS / ballast.hex).stat().st_ino == before


def test_without_time_nothing_is_fetched_and_the_next_stager_finishes(staged: Staged) -> None:
    answer = staged.stage(end=1.0, now=lambda: 2.0)
    assert answer["outcome"] == "unfinished"
    assert "the next scheduled reconciliation resumes" in answer["reason"]
    assert staged.stage() == {"outcome": "staged"}
    assert staged.is_whole()


def test_when_time_runs_out_finished_parts_are_kept(
    staged: Staged, capfd: pytest.CaptureFixture[str]
) -> None:
    looks = iter(range(1000))
    # The third part done is the last one.
    assert staged.stage(end=3, now=lambda: next(looks))["outcome"] == "unfinished"
    assert not stager.ensure_staged(staged.mount, staged.pin)
    capfd.readouterr()
    assert staged.stage() == {"outcome": "staged"}
    assert staged.is_whole()
    assert logged_bytes(capfd) < staged.manifest.size


def test_a_blob_changed_in_the_registry_is_a_final_failure_and_leaves_no_file(
    staged: Staged,
) -> None:
    ballast = staged.manifest.file("ballast")
    staged.registry.store.write(blob_key(ballast.hex), b"0" * ballast.size)
    answer = staged.stage()
    assert answer["outcome"] == "failed"
    assert answer["is_final"] is True
    assert "ballast" in answer["reason"]
    assert "is corrupt or was changed" in answer["reason"]
    assert not list((staged.mount / BLOBS).glob(f"{ballast.hex}*"))
    assert not stager.ensure_staged(staged.mount, staged.pin)


def test_a_manifest_changed_in_the_registry_is_a_final_failure(staged: Staged) -> None:
    staged.registry.store.write(blob_key(hex_of(staged.pin)), b"{}")
    answer = staged.stage()
    assert (answer["outcome"], answer["is_final"]) == ("failed", True)


def test_a_missing_blob_is_not_a_final_failure(staged: Staged) -> None:
    ballast = staged.manifest.file("ballast")
    registry = Path(staged.registry.store.uri.removeprefix("file://"))
    blob = registry / blob_key(ballast.hex)
    blob.rename(registry / "away")
    answer = staged.stage()
    assert (answer["outcome"], answer["is_final"]) == ("failed", False)
    (registry / "away").rename(blob)
    assert staged.stage() == {"outcome": "staged"}


def test_a_lost_mount_fails_with_its_path(staged: Staged) -> None:
    shutil.rmtree(staged.mount)
    staged.mount.write_text("no directory any more")
    answer = staged.stage()
    assert (answer["outcome"], answer["is_final"]) == ("failed", False)
    assert f"the file system at {staged.mount} cannot be used" in answer["reason"]


# Concurrent stagers


def test_only_one_of_two_stagers_copies_the_same_bundle(staged: Staged) -> None:
    with stager.locked(staged.mount, hex_of(staged.pin)) as is_ours:
        assert is_ours
        answer = staged.stage()
    assert (answer["outcome"], answer["reason"]) == (
        "unfinished",
        "another stager is staging this bundle",
    )
    assert staged.stage() == {"outcome": "staged"}


def test_two_concurrent_stagers_leave_one_complete_bundle(staged: Staged) -> None:
    processes = [run(staged) for _ in range(2)]
    outcomes = [process.communicate(timeout=60)[0] for process in processes]
    assert any("staged" in outcome for outcome in outcomes)
    assert all("'failed'" not in outcome for outcome in outcomes)
    assert staged.is_whole()


def test_two_concurrent_stagers_without_locks_leave_one_complete_bundle(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def unlocked(*_: object, **__: object) -> Iterator[bool]:
        yield True

    monkeypatch.setattr(stager, "locked", unlocked)
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(staged.stage())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{"outcome": "staged"}] * 3
    assert staged.is_whole()


def run(staged: Staged) -> subprocess.Popen[str]:
    arguments = (staged.registry.store.uri, str(staged.mount), str(staged.pin))
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


# Killed stagers


@pytest.mark.slow
def test_a_bundle_is_complete_after_twenty_killed_stagers_and_one_that_finishes(
    tmp_path: Path,
) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    staged = published(tmp_path, 300_000_000, mount)
    chance = random.Random(0)
    killed = 0
    for _ in range(20):
        process = run(staged)
        time.sleep(chance.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        killed += process.returncode == -signal.SIGKILL
        for path in (mount / BLOBS).glob("*"):
            # A file that has a blob's name is complete at every moment.
            if len(path.name) == 64:
                assert named_digest(staged, path) == f"sha256:{path.name}"
    assert killed
    assert staged.stage() == {"outcome": "staged"}
    assert staged.is_whole()


# What a stager of version 0.1 left


@pytest.fixture(params=[True, False], ids=["chunked", "whole"])
def attack(registry: Registry, tmp_path: Path, request: pytest.FixtureRequest) -> Attack:
    (tmp_path / "mount").mkdir()
    return Attack.on(registry, tmp_path, chunked=request.param)


def test_other_bytes_are_not_staged_under_a_name_that_another_version_pins(
    attack: Attack, tmp_path: Path
) -> None:
    mount = tmp_path / "mount"
    answer = stager.stage(attack.registry, mount, attack.pushed, end=NEVER)
    assert (answer["outcome"], answer["is_final"]) == ("failed", True)
    assert not (mount / BLOBS / attack.entry.hex).exists()
    attack.put(attack.good)
    assert stager.stage(attack.registry, mount, attack.approved, end=NEVER) == STAGED
    assert (mount / BLOBS / attack.entry.hex).read_bytes() == attack.good


def test_what_an_old_stager_left_is_staged_once_it_is_proven_and_is_not_copied(
    attack: Attack, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mount, pin = tmp_path / "mount", attack.approved
    attack.put(attack.good)
    stager.stage(attack.registry, mount, pin, end=NEVER)
    shutil.rmtree(mount / f"{BLOBS}-proven")  # which version 0.1 does not write
    before = [(path.name, path.stat().st_ino) for path in sorted((mount / BLOBS).iterdir())]
    assert not stager.ensure_staged(mount, pin)
    capfd.readouterr()
    assert stager.stage(attack.registry, mount, pin, end=NEVER) == STAGED
    assert logged_bytes(capfd) == 0
    assert stager.ensure_staged(mount, pin)
    after = [(path.name, path.stat().st_ino) for path in sorted((mount / BLOBS).iterdir())]
    assert after == before


def test_other_bytes_that_an_old_stager_left_are_replaced(attack: Attack, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    attack.put(attack.good)
    stager.stage(attack.registry, mount, attack.approved, end=NEVER)
    (mount / BLOBS / attack.entry.hex).unlink()
    attack.as_version_0_1(mount / BLOBS)
    assert not stager.ensure_staged(mount, attack.approved)
    assert stager.stage(attack.registry, mount, attack.approved, end=NEVER) == STAGED
    assert (mount / BLOBS / attack.entry.hex).read_bytes() == attack.good


def test_marks_go_with_what_they_mark(staged: Staged) -> None:
    staged.stage()
    marks = staged.mount / f"{BLOBS}-proven"
    assert {path.name.partition(".")[0] for path in marks.iterdir()} == staged.names()
    prune(staged, set(), NOW)
    prune(staged, set(), NOW + DAY)
    assert list(marks.iterdir()) == []


# Full disk


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 24 MB for this test."""
    directory = Path(tempfile.mkdtemp(prefix="shearling-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "shearling-test", str(directory)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        directory.rmdir()
        pytest.skip("mounting a small disk needs the rights of root")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)
    directory.rmdir()


@pytest.mark.parametrize("size", [20_000_000, 40_000_000], ids=["beside others", "even alone"])
def test_a_full_disk_fails_with_the_reason_and_frees_the_space(
    small_disk: Path, tmp_path: Path, size: int
) -> None:
    filler = small_disk / "of somebody else"
    filler.write_bytes(b"0" * 6_000_000)
    staged = published(tmp_path, size, small_disk)
    answer = staged.stage()
    assert (answer["outcome"], answer["is_final"]) == ("failed", False)
    assert "the file system is full" in answer["reason"]
    assert "shearling prune" in answer["reason"]
    ballast = staged.manifest.file("ballast")
    assert not list((small_disk / BLOBS).glob(f"{ballast.hex}*"))
    assert shutil.disk_usage(small_disk).free > 17_000_000
    if size < 24_000_000:
        filler.unlink()
        assert staged.stage() == {"outcome": "staged"}


def test_a_disk_that_fills_while_staging_frees_the_space(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = published(tmp_path, 40_000_000, small_disk)
    # As on a network file system, which reports unlimited space.
    usage = shutil.disk_usage(small_disk)._replace(free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    answer = staged.stage()
    assert answer["outcome"] == "failed"
    assert "the file system is full" in answer["reason"]
    assert "No space left on device" in answer["reason"]
    assert shutil.disk_usage(small_disk).free > 22_000_000


# Handler


class Context:
    def get_remaining_time_in_millis(self) -> int:
        return 900_000


def test_the_handler_checks_stages_and_prunes(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEARLING_MOUNT", str(staged.mount))
    monkeypatch.setenv("SHEARLING_REGISTRY", staged.registry.store.uri)

    def ask(request: str, **fields: object) -> dict[str, Any]:
        return stager.handler({"shearling": request, **fields}, Context())

    assert ask("look", pin=str(staged.pin)) == {"staged": False}
    assert ask("stage", pin=str(staged.pin), function="f") == {"outcome": "staged"}
    assert ask("look", pin=str(staged.pin)) == {"staged": True}
    assert ask("prune", keep=sorted(staged.names())) == {"blobs": []}
    with pytest.raises(ReleaseError, match="expected 'look', 'stage' or 'prune'"):
        ask("sweep")


def test_the_stager_knows_itself_how_its_last_attempt_ended(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEARLING_MOUNT", str(staged.mount))

    def look() -> dict[str, Any]:
        return stager.handler({"shearling": "look", "pin": str(staged.pin)}, Context())

    assert look() == {"staged": False}
    unfinished = staged.stage(end=1.0, now=lambda: 2.0)
    assert unfinished["outcome"] == "unfinished"
    assert look() == {"staged": False, "last": unfinished}
    blob = blob_key(staged.manifest.file("ballast").hex)
    data = staged.registry.store.read(blob)
    assert data
    staged.registry.store.write(blob, b"1" + data[1:])
    failed = staged.stage()
    assert failed["is_final"]
    assert look() == {"staged": False, "last": failed}
    staged.registry.store.write(blob, data)
    assert staged.stage() == {"outcome": "staged"}
    assert look() == {"staged": True}
    assert list((staged.mount / "attempts").iterdir()) == []


def test_an_attempt_that_was_cut_off_is_known_to_be_over(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHEARLING_MOUNT", str(staged.mount))
    attempts.begin(staged.mount, hex_of(staged.pin))
    for is_running in (True, False):
        name = hex_of(staged.pin) if is_running else "another"
        with stager.locked(staged.mount, name):
            answer = stager.handler({"shearling": "look", "pin": str(staged.pin)}, Context())
        assert answer["last"]["outcome"] == "unfinished"
        assert answer["last"]["is_running"] is is_running


# Prune


def prune(staged: Staged, keep: set[str], moment: datetime, **options: Any) -> dict[str, str]:
    """Prune, and return the state of each unneeded blob."""
    answer = stager.prune(staged.mount, keep, now=lambda: moment, **options)
    return {row["digest"].removeprefix("sha256:"): row["state"] for row in answer["blobs"]}


def test_a_blob_is_removed_a_day_after_it_was_first_unneeded(staged: Staged) -> None:
    staged.stage()
    waiting = dict.fromkeys(staged.names(), "waiting")
    assert prune(staged, set(), NOW) == waiting
    assert prune(staged, set(), NOW + DAY - timedelta(seconds=1)) == waiting
    assert staged.is_whole()
    assert prune(staged, set(), NOW + DAY) == dict.fromkeys(staged.names(), "removed")
    assert list((staged.mount / BLOBS).iterdir()) == []
    assert list((staged.mount / "unpinned").iterdir()) == []


def test_a_needed_blob_is_never_removed(staged: Staged) -> None:
    staged.stage()
    kept = {hex_of(staged.pin), staged.manifest.file("ballast").hex}
    prune(staged, kept, NOW)
    assert set(prune(staged, kept, NOW + 2 * DAY)) == staged.names() - kept
    assert {path.name for path in (staged.mount / BLOBS).iterdir()} == kept


def test_a_dry_run_removes_and_marks_nothing(staged: Staged) -> None:
    staged.stage()
    prune(staged, set(), NOW, dry_run=True)
    assert not (staged.mount / "unpinned").exists()
    prune(staged, set(), NOW)
    assert set(prune(staged, set(), NOW + DAY, dry_run=True).values()) == {"removable"}
    assert staged.is_whole()


@pytest.mark.parametrize("use", ["look", "stage", "keep"])
def test_the_day_starts_again_when_the_bundle_is_needed(staged: Staged, use: str) -> None:
    staged.stage()
    prune(staged, set(), NOW)
    if use == "look":
        assert stager.ensure_staged(staged.mount, staged.pin)
    elif use == "stage":
        staged.stage()
    else:
        prune(staged, staged.names(), NOW + DAY)
    assert set(prune(staged, set(), NOW + DAY).values()) == {"waiting"}
    assert staged.is_whole()


def test_nothing_is_removed_while_a_bundle_is_staged(staged: Staged) -> None:
    with stager.locked(staged.mount, "blobs-sha256", shared=True):
        answer = stager.prune(staged.mount, set())
    assert answer == {"reason": "a bundle is being staged; try again later"}


def test_the_file_of_a_killed_stager_is_removed_and_a_file_being_written_stays(
    staged: Staged,
) -> None:
    blobs = staged.mount / BLOBS
    blobs.mkdir(parents=True)
    left, busy = blobs / f"{'0' * 64}.1-a.partial", blobs / f"{'0' * 64}.2-b.partial"
    left.write_bytes(b"0")
    with busy.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        prune(staged, set(), NOW)
        states = prune(staged, set(), NOW + DAY)
    assert states == {left.name: "removed", busy.name: "waiting"}
