"""A function's world as on Lambda: its package, its interpreter, `/tmp`; all else is read-only."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A root directory of its own inside a private mount namespace: everything is gone with the
# process, and nothing of the machine but its system directories and the interpreter is seen.
# `nosuid,nodev` is spelled out because an unprivileged user may not remount without them.
_ENTER = r"""
set -eu
root=$1 task=$2 lang=$3 tmp_mb=$4
shift 4
lambda_path=${PATH-}
PATH=/usr/sbin:/usr/bin:/sbin:/bin
bind() {
  mkdir -p "$root$2"
  mount --rbind "$1" "$root$2"
  mount -o "remount,bind,$3,nosuid,nodev" "$root$2"
}
mount -t tmpfs -o mode=755 sandbox "$root"
for directory in /bin /sbin /lib /lib64 /usr /etc; do
  if [ -L "$directory" ]; then cp -P "$directory" "$root$directory"
  elif [ -d "$directory" ]; then bind "$directory" "$directory" ro; fi
done
mkdir -p "$root/dev" "$root/proc" "$root/tmp"
for device in null zero full random urandom; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount --rbind /proc "$root/proc"
mount -t tmpfs -o "mode=1777,nosuid,nodev,size=${tmp_mb}m" tmp "$root/tmp"
bind "$task" /var/task ro
bind "$lang" /var/lang ro
while [ "$1" != -- ]; do bind "$1" "$2" "$3"; shift 3; done
shift
mount -o remount,bind,ro "$root"
start='cd /var/task; unset OLDPWD; PATH=$1; shift; exec "$@"'
exec chroot "$root" /bin/sh -c "$start" sh "$lambda_path" "$@"
"""

_PATH = "/var/lang/bin:/usr/local/bin:/usr/bin:/bin"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """How one function runs: on `python`, with `task` as its package.

    `scratch` is an empty directory to mount on; functions may share it, each sees its own.
    `mounts` are directories of this machine by the path at which the function sees them.
    """

    python: Path
    task: Path
    scratch: Path
    mounts: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    tmp_mb: int = 512

    def command(self, *arguments: str) -> list[str]:
        """The command that runs the function's interpreter with these arguments."""
        if not namespaces_work():
            return self._command_without_namespaces(arguments)
        directories = (self.scratch, self.task, self.python.parent.parent)
        mounts = [(str(prefix), str(prefix), "ro") for prefix in _base_prefixes(self.python)]
        mounts += [(str(source), target, "rw") for target, source in self.mounts.items()]
        return [
            *_unshare(),
            *("/bin/sh", "-c", _ENTER, "sandbox", *map(str, directories), str(self.tmp_mb)),
            *(word for mount in mounts for word in mount),
            *("--", "/var/lang/bin/python", *arguments),
        ]

    def environment(self) -> dict[str, str]:
        """Variables that say where things are; on Lambda, too, `$HOME` does not exist."""
        isolated = namespaces_work()
        return {
            # Without namespaces: a place where not even root can make a directory.
            "HOME": "/home/sbx_user1051" if isolated else "/dev/null/home",
            "LAMBDA_TASK_ROOT": "/var/task" if isolated else str(self.task),
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LANG": "en_US.UTF-8",
            "PATH": _PATH,
            "TZ": ":UTC",
        }

    def _command_without_namespaces(self, arguments: tuple[str, ...]) -> list[str]:
        """All that can be had where the system refuses namespaces: directory and links."""
        for target, source in self.mounts.items():
            _link(Path(target), source)
        script = 'cd "$1"; shift; exec "$@"'
        return ["/bin/sh", "-c", script, "sandbox", str(self.task), str(self.python), *arguments]


@functools.cache
def namespaces_work() -> bool:
    """Whether this system lets us make mount namespaces; tried once, for real."""
    if sys.platform != "linux":
        return False
    with tempfile.TemporaryDirectory(prefix="shearling-sandbox-") as directory:
        words = (directory, "/usr", "/usr", "1", "--", "/bin/true")
        command = [*_unshare(), "/bin/sh", "-c", _ENTER, "sandbox", *words]
        try:
            done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        except OSError:
            return False
        return done.returncode == 0


def _unshare() -> tuple[str, ...]:
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *user, "--mount", "--propagation", "private", "--")


def _base_prefixes(python: Path) -> list[Path]:
    """Where a virtual environment's interpreter and its standard library really are."""
    configuration = (python.parent.parent / "pyvenv.cfg").read_text()
    fields = dict(line.split(" = ", 1) for line in configuration.splitlines() if " = " in line)
    prefixes = {Path(fields["home"]).parent, python.resolve().parent.parent}
    return sorted(prefix for prefix in prefixes if prefix.parts[:2] not in _SYSTEM)


#: Already seen by every function.
_SYSTEM = {("/",), ("/", "usr"), ("/", "bin")}


def _link(target: Path, source: Path) -> None:
    if target.is_symlink():
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source, target_is_directory=True)
