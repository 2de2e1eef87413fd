"""How many examples property tests try: ten times as many in `make attack`."""

from __future__ import annotations

import os


def attack(examples: int) -> int:
    """Return how many examples a property test tries."""
    return examples * (10 if os.environ.get("SHEARLING_ATTACK") else 1)
