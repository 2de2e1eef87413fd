"""Terraform for tests and demo: real runs in working copies, with this machine's providers."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from python_terraform import IsFlagged, Terraform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = REPOSITORY / ".tools"

PROVIDER = "registry.terraform.io/hashicorp/aws"
_OLDEST, _BELOW = (5, 100, 0), (7, 0, 0)

_INTERRUPT_SECONDS = 20.0

#: Several times what the longest command takes. Without a limit, a lost response would hang it.
LIMIT_SECONDS = 600
#: Exit code of `timeout` for a command that it stopped.
_TIMED_OUT = 124

#: Every service that our modules configure.
_SERVICES = (
    *("apigateway", "apigatewayv2", "cloudwatch", "ec2", "efs", "events", "iam", "kms", "lambda"),
    *("logs", "s3", "s3control", "scheduler", "sfn", "sns", "sqs", "ssm", "sts", "wafv2"),
)


class TerraformError(RuntimeError):
    """A terraform command failed; the message holds what it said."""


class TerraformStack:
    """One root module, with its state, in a directory that may be written to.

    `environment` is the whole environment that terraform runs with, without the CLI configuration.
    """

    def __init__(
        self,
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        variables: Mapping[str, object] | None = None,
    ) -> None:
        self.directory = directory
        self._files = directory / ".harness"
        self._files.mkdir(exist_ok=True)
        self.set_variables(**(variables or {}))
        ours = os.environ if environment is None else environment
        # python-terraform passes on only this process's environment, so a script sets ours.
        #: Runs terraform as this class does, from a shell.
        self.command = _write_script(self._files, {**ours, **cli_configuration()})
        self._terraform = Terraform(str(directory), terraform_bin_path=str(self.command))

    def set_variables(self, **variables: object) -> None:
        """Set the module's input variables."""
        text = json.dumps(variables, default=str)
        (self.directory / "harness.auto.tfvars.json").write_text(text)

    def init(self) -> None:
        """Install providers and modules."""
        self.run("init", input=False)

    def plan(self, *, refresh: bool = True) -> dict[str, Any]:
        """Return the plan in the form of `terraform show -json`.

        Args:
            refresh: whether to read the resources first; otherwise the plan uses the state.
        """
        plan = str(self._files / "plan")
        self.run("plan", input=False, out=plan, refresh=refresh)
        shown: dict[str, Any] = json.loads(self.run("show", plan, json=IsFlagged))
        return shown

    def changes(self) -> dict[str, list[str]]:
        """The planned actions by address, outputs included; empty when nothing would change."""
        return planned_changes(self.plan())

    def apply(self) -> str:
        """Apply the configuration, and return the output of terraform."""
        return self.run("apply", input=False, auto_approve=IsFlagged)

    def outputs(self) -> dict[str, Any]:
        """The root module's outputs by name."""
        outputs = json.loads(self.run("output", json=IsFlagged))
        return {name: output["value"] for name, output in outputs.items()}

    def destroy(self) -> str:
        """Destroy all resources of the state, and return the output of terraform."""
        return self.run("destroy", input=False, auto_approve=IsFlagged)

    def run(self, command: str, *arguments: str, **options: object) -> str:
        """Run a command and return its output; raise an error for an exit code other than 0."""
        options.setdefault("no_color", IsFlagged)
        # A failed command is logged by the library with a deprecated method.
        with warnings.catch_warnings(), self._ended_when_interrupted():
            warnings.simplefilter("ignore", DeprecationWarning)
            code, out, error = self._terraform.cmd(command, *arguments, **options)
        if code == _TIMED_OUT:
            raise TerraformError(
                f"terraform {command} did not end within {LIMIT_SECONDS} s and was stopped; it "
                f"said:\n{error}\n{out[-2000:]}"
            )
        if code:
            raise TerraformError(f"terraform {command} failed ({code}):\n{error}\n{out[-2000:]}")
        printed: str = out
        return printed

    @contextlib.contextmanager
    def _ended_when_interrupted(self) -> Iterator[None]:
        """Interrupt terraform if this process is interrupted, and let it write its state."""
        pid_file = self._files / "pid"
        pid_file.unlink(missing_ok=True)
        try:
            yield
        except BaseException:
            if pid_file.exists():
                _end(int(pid_file.read_text()))
            raise


def planned_changes(plan: Mapping[str, Any]) -> dict[str, list[str]]:
    """The actions of a plan by address; outputs as `output.<name>`."""
    resources = {each["address"]: each["change"] for each in plan.get("resource_changes", [])}
    outputs = {f"output.{name}": each for name, each in plan.get("output_changes", {}).items()}
    changes = {address: change["actions"] for address, change in {**resources, **outputs}.items()}
    return {address: actions for address, actions in changes.items() if actions != ["no-op"]}


def working_copy(source_example: Path, destination: Path) -> Path:
    """Copy an example and the modules with their relative paths; return the example's copy."""
    example = source_example.resolve().relative_to(REPOSITORY)
    ignored = shutil.ignore_patterns(
        ".terraform", ".terraform.lock.hcl", "*.tfstate*", "*_override.tf", "__pycache__"
    )
    for part in (Path("terraform"), example):
        shutil.copytree(REPOSITORY / part, destination / part, ignore=ignored, dirs_exist_ok=True)
    accept_python_3_11(destination / "terraform")
    return destination / example


def accept_python_3_11(terraform: Path) -> Path:
    """Let a copy of the modules accept Python 3.11, on which functions of the emulator run, too.

    Lambda's own 3.11 is refused: it runs on an operating system that current wheels do not support.
    """
    override = terraform / "modules" / "lambda" / "python_override.tf"
    override.write_text('locals {\n  pythons = ["3.11", "3.12", "3.13", "3.14"]\n}\n')
    return override


def write_emulator_override(directory: Path, url: str) -> Path:
    """Point a root module's provider at the embedded AWS, without changing the module's files."""
    endpoints = "\n".join(f"    {service} = {json.dumps(url)}" for service in _SERVICES)
    override = directory / "emulator_override.tf"
    override.write_text(f"""\
provider "aws" {{
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = false
  s3_use_path_style           = true
  # A call that the emulator does not serve would else be retried for minutes.
  max_retries                 = 2

  endpoints {{
{endpoints}
  }}
}}
""")
    return override


def cli_configuration() -> dict[str, str]:
    """Return the variables that configure terraform's providers: a local mirror or the registry."""
    mirror = _mirror()
    environment = {
        "TF_CLI_CONFIG_FILE": str(_configuration_file(mirror)),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }
    if mirror is None:
        cache = TOOLS / "terraform-plugins"
        cache.mkdir(parents=True, exist_ok=True)
        environment["TF_PLUGIN_CACHE_DIR"] = str(cache)
        environment["TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE"] = "1"
    return environment


def _configuration_file(mirror: Path | None) -> Path:
    installation = f"""\
provider_installation {{
  filesystem_mirror {{
    path    = {json.dumps(str(mirror))}
    include = ["{PROVIDER}"]
  }}
  direct {{
    exclude = ["{PROVIDER}"]
  }}
}}
"""
    TOOLS.mkdir(exist_ok=True)
    file = TOOLS / "terraform.tfrc"
    text = installation if mirror else ""
    if not file.exists() or file.read_text() != text:
        temporary = file.with_suffix(f".{os.getpid()}")
        temporary.write_text(text)
        temporary.replace(file)
    return file


def _mirror() -> Path | None:
    """Return the first directory of providers that contains a supported AWS provider."""
    named = os.environ.get("SHEARLING_TF_MIRROR")
    if named:
        if not _provides(Path(named)):
            raise TerraformError(f"SHEARLING_TF_MIRROR={named} holds no {PROVIDER} that fits")
        return Path(named)
    roots = [Path.home() / ".terraform.d/plugins"]
    roots += [Path(root) / "terraform/plugins" for root in ("/usr/local/share", "/usr/share")]
    with contextlib.suppress(OSError):
        roots += sorted(path for path in Path("/opt").iterdir() if path.is_dir())
    return next((root for root in roots if _provides(root)), None)


def _provides(root: Path) -> bool:
    """Whether a mirror, packed or unpacked, has the provider for this platform."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    target = f"{platform.system().lower()}_{machine}"
    unpacked = [each.parent.name for each in (root / PROVIDER).glob(f"*/{target}")]
    packed = [each.name for each in (root / PROVIDER).glob(f"*_{target}.zip")]
    found = (re.search(r"(\d+)\.(\d+)\.(\d+)", name) for name in unpacked + packed)
    return any(_OLDEST <= tuple(map(int, match.groups())) < _BELOW for match in found if match)


def _write_script(directory: Path, environment: Mapping[str, str]) -> Path:
    binary = shutil.which("terraform", path=environment.get("PATH"))
    if binary is None:
        raise TerraformError("terraform is not on PATH")
    words = [f"{key}={value}" for key, value in environment.items()]
    script = directory / "terraform"
    pid_file = shlex.quote(str(directory / "pid"))
    # Readable only by this user, because an environment may contain keys.
    script.touch(mode=0o700)
    limit = [f"--kill-after={_INTERRUPT_SECONDS}", "--signal=INT", str(LIMIT_SECONDS)]
    command = shlex.join(["timeout", *limit, "env", "-i", *words, binary])
    script.write_text(f'#!/bin/sh\necho $$ >{pid_file}\nexec {command} "$@"\n')
    return script


def _end(pid: int) -> None:
    """Interrupt a terraform that we started, and wait for it; `timeout` kills it if needed."""
    # If it is no child of ours, it has ended; the number may now be another process's.
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGINT)
            os.waitpid(pid, 0)


def main() -> None:
    """Run `python -m tests.support.terraform_cli DIRECTORY ARGUMENTS...`, configured as above."""
    directory, *arguments = sys.argv[1:]
    place = Path(directory).resolve()
    name = re.sub(r"\W+", "-", str(place.relative_to(REPOSITORY) if _is_ours(place) else place))
    data = TOOLS / "terraform-data" / name
    data.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **cli_configuration(), "TF_DATA_DIR": str(data)}
    os.execvpe("terraform", ["terraform", f"-chdir={place}", *arguments], environment)


def _is_ours(place: Path) -> bool:
    return place.is_relative_to(REPOSITORY)


if __name__ == "__main__":
    main()
