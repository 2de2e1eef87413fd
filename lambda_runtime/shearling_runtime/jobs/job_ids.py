"""IDs of jobs, which nobody can guess: random, or made of an idempotency key and its caller."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import secrets

from shearling.errors import InvalidRequestError
from shearling.protocol.idempotency_keys import checked_key

#: Bytes of an ID, and of the key that makes one of an idempotency key.
ID_BYTES, SECRET_BYTES = 16, 32

_ID = re.compile(r"[0-9a-f]{32}")

#: Distinct characters that a random key of 128 bits has at least, but for one in a million.
_DISTINCT = 8

_ALPHABETS = ((re.compile(r"[0-9]+"), 10), (re.compile(r"[0-9a-fA-F]+"), 16))


def new_id() -> str:
    """Return a random ID."""
    return secrets.token_hex(ID_BYTES)


def is_id(text: str) -> bool:
    """Return whether a text has the form of an ID."""
    return _ID.fullmatch(text) is not None


def id_of(secret: bytes, caller: str, idempotency_key: str) -> str:
    """Return the ID of all requests of a caller with one idempotency key.

    Args:
        secret: key that callers cannot read, so that they cannot compute the IDs of others.
        caller: identity of the caller; empty for one that the API did not authenticate.
        idempotency_key: value of the header Idempotency-Key.

    Raises:
        InvalidRequestError: the idempotency key is not allowed.
    """
    key = idempotency_key.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':  # a string of a structured header
        key = key[1:-1]
    checked_key(key)
    if not caller and not is_unguessable(key):
        raise InvalidRequestError(
            f"idempotency-key: {key!a:.80} could be guessed, and the caller is not authenticated; "
            "send 128 random bits, such as 32 hexadecimal digits"
        )
    message = json.dumps([caller, key]).encode()
    return hmac.new(secret, message, hashlib.sha256).hexdigest()[: 2 * ID_BYTES]


def is_unguessable(key: str) -> bool:
    """Return whether a key can hold 128 random bits, by its length and its characters."""
    characters = re.sub(r"[^0-9A-Za-z+/_]", "", key)
    sizes = (size for pattern, size in _ALPHABETS if pattern.fullmatch(characters))
    bits = len(characters) * math.log2(next(sizes, 64))
    return bits >= 8 * ID_BYTES and len(set(characters)) >= _DISTINCT
