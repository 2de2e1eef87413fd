"""Tests with PyTorch and libraries around it, in an environment of their own."""

from __future__ import annotations

import os
from importlib.util import find_spec

# The project's other environment does not have the libraries.
collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]

# The workers of a run share the processor.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Only models on this backend convert.
os.environ["KERAS_BACKEND"] = "torch"

# Nothing is fetched from a hub of models.
os.environ["HF_HUB_OFFLINE"] = "1"
