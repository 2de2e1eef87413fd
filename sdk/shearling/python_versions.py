"""The oldest Python versions that Shearling supports, locally and on Lambda."""

from __future__ import annotations

#: The oldest Python that Shearling runs on.
OLDEST = (3, 11)

#: The oldest Lambda runtime that current wheels run on: 3.11 is on Amazon Linux 2.
OLDEST_ON_AWS = (3, 12)
