"""Which Python versions Shearling and current packages run on."""

from __future__ import annotations

#: The oldest that Shearling runs on.
OLDEST = (3, 11)

#: The oldest of Lambda's runtimes that current wheels run on: 3.11 is on Amazon Linux 2.
OLDEST_ON_AWS = (3, 12)
