"""Keys of a run's own files below its output; everything else there is of its parts."""

from __future__ import annotations

#: What the run was asked for, and what its plan made of it.
RUN = "_run/run.json"

#: The parts: a score request on each line.
PLAN = "_run/plan.jsonl"

#: What became of each part, in the order of the plan.
OUTCOMES = "_run/outcomes.jsonl"

#: Written at the end of the run: what became of it.
MANIFEST = "_manifest.json"

#: Written after the manifest if the run has succeeded; empty, as Hadoop's.
SUCCESS = "_SUCCESS"
