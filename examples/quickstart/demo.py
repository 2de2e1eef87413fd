"""The whole of Shearling on an embedded AWS: `make demo`.

Every step is what its user would do: a platform engineer's `terraform apply`, a data scientist's
push from Python, an application's request.
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
from tests.support.event_sources import Answer, Doors
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


#: How far a probability in 32 bits may be from one in 64.
CLOSE = 1e-4


class DemoError(Exception):
    """Something answered otherwise than it must."""


def main() -> int:
    """Run the demo, or end one that was left running."""
    parser = argparse.ArgumentParser(description="Run the main job on an embedded AWS.")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--down", action="store_true", help="end what --keep left running")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if arguments.down:
        return down()
    started = time.monotonic()
    try:
        run(keep=arguments.keep)
    except KeyboardInterrupt:
        say("interrupted; everything that was started is stopped")
        return 130
    except (DemoError, TerraformError, sdk.ShearlingError, subprocess.CalledProcessError) as error:
        say(f"FAILED: {error}")
        return 1
    say(f"all steps passed in {time.monotonic() - started:.0f} s")
    return 0


def down() -> int:
    """End what `--keep` left running."""
    try:
        EmbeddedAws.attach(WORK / "aws").stop()
    except EmbeddedAwsError:
        say("nothing was left running")
    else:
        say("stopped")
    return 0


def run(*, keep: bool) -> None:
    """Run every step, and clean up whatever happens."""
    kept = False
    # What an earlier run left behind is not this one's.
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
        with step("2. terraform apply: registry, function, releaser, HTTP API (about a minute)"):
            terraform.init()
            terraform.apply()
            outputs = terraform.outputs()
            say(f"   registry {outputs['registry_uri']}, function {outputs['function_name']}")
        Tour(aws, outputs).walk()
        with step("7. terraform plan: nothing to change, after all that"):
            if changes := terraform.changes():
                raise DemoError(f"terraform would change {', '.join(changes)}")
            say("   no changes")
        if keep:
            explain(aws, outputs)
            kept = True
            return
        with step("8. terraform destroy, and stop everything"):
            terraform.destroy()
    finally:
        if not kept:
            aws.stop()


class Tour:
    """Steps 3 to 6: what a data scientist and an application do."""

    def __init__(self, aws: EmbeddedAws, outputs: dict[str, Any]) -> None:
        os.environ["SHEARLING_REGISTRY"] = outputs["registry_uri"]
        self._doors = Doors(aws, outputs["function_name"], outputs["api_id"], "cancer")
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
        with step("6. Push the same again; push one that the function must refuse"):
            self._push_again()
            self._push_refused()

    def _compare(self, kind: str, version: str) -> None:
        model = train(kind)
        local = {
            "label": model.predict(self._rows),
            "probabilities": model.predict_proba(self._rows),
        }
        print(
            f"   {'door':<14}{'rows':>6}{'agreement':>12}{'largest difference':>21}{'latency':>12}"
        )
        doors = {"Lambda API": self._doors.by_alias, "HTTP API": self._doors.over_http}
        for door, ask in doors.items():
            ask("prod", self._rows[:1])  # not the start
            began = time.perf_counter()
            answer = _answered(ask("prod", self._rows))
            latency = (time.perf_counter() - began) * 1000
            answers = answer.outputs
            agreement = float(np.mean(answers["label"] == local["label"]))
            difference = float(np.abs(answers["probabilities"] - local["probabilities"]).max())
            rows = len(self._rows)
            print(f"   {door:<14}{rows:>6}{agreement:>12.1%}{difference:>21.2e}{latency:>9.0f} ms")
            if agreement < 1 or difference > CLOSE or answer.version != version:
                raise DemoError(
                    f"{door}: version {answer.version} does not answer as the local model"
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
            raise DemoError("the same model became another version")

    def _push_refused(self) -> None:
        # A pickle runs code when it is loaded. This function does not allow it: its gate says so.
        try:
            sdk.push_model(
                lambda rows: rows.sum(axis=1),
                "cancer",
                example=self._rows,
                format="cloudpickle",
                alias="prod",
                wait=True,
            )
        except sdk.ReleaseError as error:
            say(f"   refused, as it must be: {error}")
        else:
            raise DemoError("a pickle was released on a function that does not allow it")
        self._expect(prod="1", staging="2")
        print(sdk.status("cancer"))

    def _expect(self, **wanted: str) -> None:
        served = {
            alias: _answered(self._doors.by_alias(alias, self._rows[:1])).version
            for alias in wanted
        }
        say("   " + ", ".join(f"{alias} answers with version {v}" for alias, v in served.items()))
        if served != wanted:
            raise DemoError(f"expected {wanted}, got {served}")


def _answered(answer: Answer) -> Answer:
    if answer.status != HTTPStatus.OK:
        raise DemoError(f"no answer but {answer.document}")
    return answer


def explain(aws: EmbeddedAws, outputs: dict[str, Any]) -> None:
    """Say how to look around."""
    request = WORK / "request.json"
    request.write_text(json.dumps(request_document({"X": data()[1][:1]})))
    variables = aws.environment() | {"SHEARLING_REGISTRY": outputs["registry_uri"]}
    exports = "\n".join(f"  export {name}={value}" for name, value in variables.items())
    commands = "\n".join(f"  {command}" for command in look_around(aws, outputs, request))
    say(
        f"\nLeft running. In another terminal:\n\n{exports}\n\n{commands}\n\n"
        "`make demo-down` ends it."
    )


def look_around(aws: EmbeddedAws, outputs: dict[str, Any], request: Path) -> list[str]:
    """Return commands that show the stack from outside; each ends with something to read."""
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


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what happens, and how long it took."""
    say(f"\n{title}")
    started = time.monotonic()
    yield
    say(f"   ({time.monotonic() - started:.1f} s)")


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
