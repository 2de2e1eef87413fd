"""Run all of Shearling on an embedded AWS: `make demo`.

The steps are those of the users: a platform engineer runs `terraform apply`, a data scientist
pushes a model from Python, an application sends requests.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import shearling as sdk
from examples.quickstart.train_and_push import data, train
from shearling.protocol.requests import request_document
from tests.embedded_aws import REGION, EmbeddedAws, EmbeddedAwsError
from tests.support.deployed_model import Answer, DeployedModel
from tests.support.packages import built_package, function_python
from tests.support.terraform_cli import (
    TerraformError,
    TerraformStack,
    working_copy,
    write_emulator_override,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
WORK = REPOSITORY / ".tools" / "demo"
QUICKSTART = REPOSITORY / "examples" / "quickstart"

#: Maximum difference between probabilities computed in 32 bits and in 64 bits.
TOLERANCE = 1e-4


class DemoError(Exception):
    """A step had an unexpected result."""


def main() -> int:
    """Run the demo, or stop one that `--keep` left running."""
    parser = argparse.ArgumentParser(description="Run all of Shearling on an embedded AWS.")
    parser.add_argument("--keep", action="store_true", help="leave the stack running at the end")
    parser.add_argument(
        "--down", action="store_true", help="stop the stack that --keep left running"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if arguments.down:
        return down()
    started = time.monotonic()
    try:
        run(keep=arguments.keep)
    except KeyboardInterrupt:
        say("interrupted; all processes of the demo are stopped")
        return 130
    except (DemoError, TerraformError, sdk.ShearlingError, subprocess.CalledProcessError) as error:
        say(f"FAILED: {error}")
        return 1
    say(f"all steps passed in {time.monotonic() - started:.0f} s")
    return 0


def down() -> int:
    """Stop the stack that `--keep` left running."""
    try:
        EmbeddedAws.attach(WORK / "aws").stop()
    except EmbeddedAwsError:
        say("no demo is running")
    else:
        say("stopped")
    return 0


def run(*, keep: bool) -> None:
    """Run all steps, and stop the embedded AWS at the end, also after an error."""
    is_kept = False
    # Start without the state of an earlier run.
    shutil.rmtree(WORK / "terraform", ignore_errors=True)
    aws = EmbeddedAws(directory=WORK / "aws", detached=keep)
    try:
        with step("1. Start an embedded AWS, build the function packages"):
            aws.start()
            os.environ.update(aws.environment())
            variables = {
                "name": "demo",
                "python": function_python(),
                "packages": {
                    "runtime": str(built_package("runtime")),
                    "control": str(built_package("control")),
                },
            }
            say(f"   AWS at {aws.url}; functions run on Python {function_python()}")
        directory = working_copy(QUICKSTART, WORK / "terraform")
        write_emulator_override(directory, aws.url)
        terraform = TerraformStack(
            directory, environment=aws.process_environment(), variables=variables
        )
        with step("2. terraform apply: registry, function, releaser, HTTP API"):
            terraform.init()
            terraform.apply()
            outputs = terraform.outputs()
            say(f"   registry {outputs['registry_uri']}, function {outputs['function_name']}")
        Tour(aws, outputs).walk()
        with step("7. terraform plan: no changes after these steps"):
            if changes := terraform.changes():
                raise DemoError(f"terraform plan shows changes of {', '.join(changes)}")
            say("   no changes")
        if keep:
            explain(aws, outputs, terraform)
            is_kept = True
            return
        with step("8. terraform destroy, and stop everything"):
            terraform.destroy()
    finally:
        if not is_kept:
            aws.stop()


class Tour:
    """Steps 3 to 6: the work of a data scientist and of an application."""

    def __init__(self, aws: EmbeddedAws, outputs: dict[str, Any]) -> None:
        os.environ["SHEARLING_REGISTRY"] = outputs["registry_uri"]
        self._deployed = DeployedModel(aws, outputs["function_name"], outputs["api_id"], "cancer")
        _, self._rows, _, self._labels = data()

    def walk(self) -> None:
        """Take all steps."""
        with step("3. Train a model and push it, as version 1 with alias prod"):
            script = QUICKSTART / "train_and_push.py"
            subprocess.run([sys.executable, str(script), "--kind", "logistic"], check=True)
        with step("4. Invoke it by alias and over HTTP; compare with the local model"):
            self._compare("logistic", "1")
        with step("5. Version 2: try it on staging, promote it to prod, roll back"):
            self._promote()
        with step("6. Push the same model again; push one that the function must refuse"):
            self._push_again()
            self._push_refused()

    def _compare(self, kind: str, version: str) -> None:
        model = train(kind)
        local = {
            "label": model.predict(self._rows),
            "probabilities": model.predict_proba(self._rows),
        }
        print(
            f"   {'API':<14}{'rows':>6}{'agreement':>12}{'largest difference':>21}{'latency':>12}"
        )
        apis = {"Lambda API": self._deployed.by_alias, "HTTP API": self._deployed.over_http}
        for api, call in apis.items():
            call("prod", self._rows[:1])  # so that the cold start is not measured
            began = time.perf_counter()
            answer = _checked(call("prod", self._rows))
            latency = (time.perf_counter() - began) * 1000
            answers = answer.outputs
            agreement = float(np.mean(answers["label"] == local["label"]))
            difference = float(np.abs(answers["probabilities"] - local["probabilities"]).max())
            rows = len(self._rows)
            print(f"   {api:<14}{rows:>6}{agreement:>12.1%}{difference:>21.2e}{latency:>9.0f} ms")
            if agreement < 1 or difference > TOLERANCE or answer.version != version:
                raise DemoError(
                    f"{api}: the answers of version {answer.version} differ from the local model's "
                    f"version {version}"
                )

    def _promote(self) -> None:
        version = sdk.push_model(
            train("forest"), "cancer", example=self._rows, alias="staging", wait=True
        )
        say(f"   pushed {version}")
        self._expect(prod="1", staging="2")
        sdk.set_alias("cancer", "prod", 2, wait=True)
        self._expect(prod="2", staging="2")
        sdk.rollback("cancer", "prod", wait=True)
        self._expect(prod="1", staging="2")

    def _push_again(self) -> None:
        version = sdk.push_model(train("forest"), "cancer", example=self._rows)
        say(f"   pushed {version}")
        if version.is_new:
            raise DemoError("pushing the same model created a new version")

    def _push_refused(self) -> None:
        # Loading a pickle runs code. This function does not allow pickles, so its check fails.
        try:
            sdk.push_model(
                lambda rows: rows.sum(axis=1),
                "cancer",
                example=self._rows,
                format="cloudpickle",
                alias="prod",
                allow_breaking=True,
                wait=True,
            )
        except sdk.ReleaseError as error:
            say(f"   refused, as expected: {error}")
        else:
            raise DemoError("a pickle was released on a function that does not allow it")
        self._expect(prod="1", staging="2")
        print(sdk.status("cancer"))

    def _expect(self, **expected: str) -> None:
        served = {
            alias: _checked(self._deployed.by_alias(alias, self._rows[:1])).version
            for alias in expected
        }
        say("   " + ", ".join(f"{alias} answers with version {v}" for alias, v in served.items()))
        if served != expected:
            raise DemoError(f"expected versions {expected} of the aliases, got {served}")


def _checked(answer: Answer) -> Answer:
    if answer.status != HTTPStatus.OK:
        raise DemoError(f"status {answer.status}: {answer.document}")
    return answer


def explain(aws: EmbeddedAws, outputs: dict[str, Any], terraform: TerraformStack) -> None:
    """Print commands that inspect the stack, and those that deploy another model on it."""
    request = WORK / "request.json"
    request.write_text(json.dumps(request_document({"X": data()[1][:1]})))
    variables = aws.environment() | {"SHEARLING_REGISTRY": outputs["registry_uri"]}
    exports = "\n".join(f"  export {name}={value}" for name, value in variables.items())
    commands = "\n".join(f"  {command}" for command in inspection_commands(aws, outputs, request))
    push, *deploy, release, call = own_model_commands(terraform, outputs)
    say(
        f"\nLeft running. In another terminal:\n\n{exports}\n\n{commands}\n\n"
        "Now a model of your own. Push it from Python, as this script does with `iris` (for\n"
        f"DataFrames, first run `{sys.executable} -m pip install pandas`):\n\n"
        f"  {push}\n\n"
        "Deploy it with two commands. For further models, name all of yours in the first one, as\n"
        "in `plan iris other`: a model that the file does not name loses its function.\n\n"
        + "\n".join(f"  {command}" for command in deploy)
        + "\n\nRelease it, and see what it takes:\n\n"
        f"  {release}\n  {call}\n\n"
        "Stop everything with `make demo-down`."
    )


def inspection_commands(aws: EmbeddedAws, outputs: dict[str, Any], request: Path) -> list[str]:
    """Return shell commands that read the status and call the model."""
    shearling = Path(sys.executable).with_name("shearling")
    answer = request.with_name("answer.json")
    target = f"{outputs['function_name']}:prod"
    sign = f"--aws-sigv4 aws:amz:{REGION}:execute-api --user test:test"
    model = f"{aws.http_api_url(outputs['api_id'])}/v2/models/cancer"
    return [
        f"{shearling} status",
        f"{shearling} invoke {target} --json {request}",
        (
            f"aws lambda invoke --function-name {target} --payload fileb://{request} {answer}"
            f" && cat {answer}"
        ),
        f"curl --silent {sign} '{model}'",
        f"curl --silent {sign} --json @{request} '{model}/infer'",
    ]


def own_model_commands(terraform: TerraformStack, outputs: dict[str, Any]) -> list[str]:
    """Return shell commands that push, plan, apply, release and call the model `iris`."""
    shearling = Path(sys.executable).with_name("shearling")
    function = outputs["function_name"].removesuffix("cancer") + "iris"
    return [
        f"{sys.executable} {REPOSITORY / 'examples' / 'first_model.py'}",
        f"{shearling} plan iris > {terraform.directory}/models.auto.tfvars",
        f"{terraform.command} -chdir={terraform.directory} apply -auto-approve",
        f"{shearling} alias set iris prod 1 --wait",
        f"{shearling} invoke {function}:prod",
    ]


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title of a step, and then the time that it took."""
    say(f"\n{title}")
    started = time.monotonic()
    yield
    say(f"   ({time.monotonic() - started:.1f} s)")


def say(text: str) -> None:
    """Print a line without buffering, so that a pipe shows it at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
