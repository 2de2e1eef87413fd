"""Words of the protocol over HTTP that the runtime and its clients share."""

from __future__ import annotations

#: The header with the length of the JSON, where bytes follow it; header names have any case.
LENGTH_HEADER = "inference-header-content-length"
