"""Objects that arrived in S3: the source of a score request, from the event that announced it."""

from __future__ import annotations

from typing import Any

from shearling.scoring.file_names import ERROR, MANIFEST, REJECTED

#: Endings of keys that are not scored: folders as made by S3's console, and files of results.
_IGNORED = ("/", MANIFEST, ERROR, REJECTED)

#: Field of a source -> that of the object in an event.
_FIELDS = {"key": "key", "etag": "etag", "size": "size", "version_id": "version-id"}


def with_source(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return a score request with its source, from the detail of the event that EventBridge sent.

    The rule's target passes on the whole detail, as EventBridge does not escape a key by itself.

    Args:
        document: a score request; without `detail` it has its source already.

    Returns:
        The request. None if its object is no input: a folder, or a file beside another result.
    """
    detail = document.get("detail")
    if not isinstance(detail, dict):
        return document
    found, bucket = detail.get("object"), detail.get("bucket")
    item = found if isinstance(found, dict) else {}
    if str(item.get("key")).endswith(_IGNORED):
        return None
    source = {name: item[field] for name, field in _FIELDS.items() if field in item}
    if isinstance(bucket, dict) and "name" in bucket:
        source["bucket"] = bucket["name"]
    given = document.get("source")
    rest = {name: value for name, value in document.items() if name != "detail"}
    return rest | {"source": source | (given if isinstance(given, dict) else {})}
