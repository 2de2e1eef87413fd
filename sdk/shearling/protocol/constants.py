"""Constants of the protocol over HTTP that the runtime and the clients share."""

from __future__ import annotations

#: Header with the length in bytes of the JSON before binary data. Compare names in lower case.
LENGTH_HEADER = "inference-header-content-length"
