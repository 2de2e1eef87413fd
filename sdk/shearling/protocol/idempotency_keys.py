"""Which idempotency keys a request may have."""

from __future__ import annotations

from shearling.errors import InvalidRequestError

#: Maximum characters of an idempotency key.
_CHARACTERS = 255


def checked_key(key: str) -> str:
    """Return an idempotency key that is allowed in a header.

    Raises:
        InvalidRequestError: the key is not allowed.
    """
    is_text = isinstance(key, str) and key.isascii() and key.isprintable()
    if not is_text or not 0 < len(key.strip()) <= _CHARACTERS:
        raise InvalidRequestError(
            f"idempotency-key: {key!a:.80} is not allowed; send 1 to {_CHARACTERS} printable ASCII "
            "characters, such as a UUID"
        )
    return key
