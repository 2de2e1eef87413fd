"""Which keys an input names: an object, all below a prefix, or those that match a pattern."""

from __future__ import annotations

import re

from shearling.errors import InvalidRequestError

_WILDCARD = re.compile(r"[*?\[]")

#: What a pattern consists of -> what matches it.
_TOKENS = re.compile(
    r"(?P<folders>(?:(?<=/)|^)\*\*/)|(?P<all>\*\*)|(?P<any>\*)|(?P<one>\?)|\[(?P<not>[!^]?)(?P<set>\]?[^\]]*)\]",
    re.DOTALL,
)
_MATCHERS = {"folders": "(?:.*/)?", "all": ".*", "any": "[^/]*", "one": "[^/]"}


class Pattern:
    """The keys that an input names.

    Without `*`, `?` and `[` it is a key, and the folder of that name. `*` and `?` match within a
    folder, `**` over folders. A pattern that ends with a slash names all below the folders that it
    matches.

    Args:
        text: the pattern.
        named: number of its first characters that are no wildcards, whatever they look like.

    Attributes:
        text: the pattern.
        prefix: what all keys begin with: the longest part without wildcards.
    """

    def __init__(self, text: str, *, named: int = 0) -> None:
        self.text = text
        found = _WILDCARD.search(text, named)
        self.prefix = text[: found.start()] if found else text
        self._regex = _compiled(text, named if found else len(text))

    @property
    def folder(self) -> str:
        """The folder that all keys are in; empty, or with a slash at its end."""
        return self.prefix[: self.prefix.rfind("/") + 1]

    def name(self, key: str) -> str:
        """Return a key without the folder that the input names, or that its keys are in."""
        below = f"{self.text}/"
        return key.removeprefix(below if key.startswith(below) else self.folder)

    def matches(self, key: str) -> bool:
        """Return whether the input names a key."""
        return self._regex.fullmatch(key) is not None


def _compiled(text: str, named: int) -> re.Pattern[str]:
    has_wildcards = named < len(text)
    ending = ".*" if not text or text.endswith("/") else "" if has_wildcards else "(?:/.*)?"
    try:
        return re.compile(re.escape(text[:named]) + _translated(text[named:]) + ending, re.DOTALL)
    except re.error as error:
        raise InvalidRequestError(
            f"inputs: {text!r:.200} is not a pattern: {error.msg}. Write [[] for a bracket"
        ) from error


def _translated(text: str) -> str:
    """Return the regular expression of a pattern."""
    parts, at = [], 0
    for token in _TOKENS.finditer(text):
        parts += [re.escape(text[at : token.start()]), _matcher(token)]
        at = token.end()
    return "".join([*parts, re.escape(text[at:])])


def _matcher(token: re.Match[str]) -> str:
    if token.lastgroup in _MATCHERS:
        return _MATCHERS[token.lastgroup]
    characters = re.sub(r"([\\\]\[^&~|])", r"\\\1", token["set"])
    return f"(?!/)[{'^' if token['not'] else ''}{characters}]"
