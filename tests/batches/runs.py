"""Plan, score and finish runs over the files of a directory, with a model that is arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from shearling.batches.finisher import finish
from shearling.batches.places import Places
from shearling.batches.planner import plan
from shearling.batches.run_document import LEAST_PART_BYTES, RunDocument
from shearling.batches.run_files import RunFiles
from shearling.scoring.engine import score
from tests.scoring.models import PIN, table_scorer

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.batches.plan_document import Plan
    from shearling.batches.run_result import RunResult
    from shearling.scoring.outcome import Outcome


@dataclass
class Runs:
    """A directory for inputs, `in`, and one for outputs, `out`."""

    root: Path
    places: Places = field(default_factory=Places)

    def put(self, name: str, data: bytes = b"age,name\n1,a\n2,bb\n") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        return path

    def run(self, inputs: Any = "in/", output: str = "out/", **fields: Any) -> RunDocument:
        """The document of a run; places are relative to the directory."""
        texts = [inputs] if isinstance(inputs, str) else inputs
        defaults = {"run": "r1", "model": "fraud", "alias": "prod"}
        return RunDocument.from_document(
            {
                **defaults,
                "inputs": [self.place(text) for text in texts],
                "output": self.place(output),
                "part_bytes": LEAST_PART_BYTES,
                **fields,
            }
        )

    def place(self, text: str) -> str:
        return text if "://" in text else f"{self.root}/{text}"

    def plan(self, run: RunDocument, **fields: Any) -> Plan:
        return plan(run, self.places, **{"pin": PIN, **fields})

    def score(self, run: RunDocument, *numbers: int) -> list[Outcome]:
        """Score the parts of some numbers; all of them without any."""
        requests = [*RunFiles.of(run, self.places).requests()]
        return [
            score(
                requests[i],
                self.places.objects(requests[i].source.bucket),
                self.places.objects(requests[i].output.bucket),
                table_scorer(),
                seconds_left=lambda: 60.0,
            )
            for i in numbers or range(len(requests))
        ]

    def finish(self, run: RunDocument) -> RunResult:
        return finish(run, self.places)

    def lines(self, output: str = "out/") -> list[dict[str, Any]]:
        """The requests in the plan."""
        data = (self.root / output / "_run/plan.jsonl").read_bytes()
        return [orjson.loads(line) for line in data.splitlines()]

    def names(self, output: str = "out/") -> list[str]:
        """The names of the planned outputs, below the output."""
        prefix = f"{self.root}/{output}".lstrip("/")
        return [line["output"]["key"].removeprefix(prefix) for line in self.lines(output)]

    def json(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads((self.root / name).read_bytes())
        return document
