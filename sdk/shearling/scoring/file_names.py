"""Endings of the keys of the files beside an output."""

from __future__ import annotations

MANIFEST = ".manifest.json"
ERROR = ".error.json"
REJECTED = ".rejected.jsonl"
