"""Score requests: which object to score, and where to write the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from shearling.errors import InvalidRequestError
from shearling.scoring.fields import Fields
from shearling.scoring.file_names import ERROR, MANIFEST, REJECTED
from shearling.scoring.formats import (
    OUTPUTS,
    SUPPORTED,
    Format,
    format_of,
    output_format_of,
    renamed,
)
from shearling.scoring.parts import Part

if TYPE_CHECKING:
    from collections.abc import Collection

#: Value of `shearling` in a score request.
SCORE = "score"

OnBadRows = Literal["fail", "skip"]
Header = Literal["auto", "present", "absent"]

_REQUEST = ("shearling", "event", "source", "output", "options")
_SOURCE = ("bucket", "key", "etag", "size", "version_id", "format", "if_match", "part")
_OUTPUT = ("bucket", "prefix", "key", "kms_key_arn", "format")
_OPTIONS = ("on_bad_rows", "keep_columns", "source_prefix", "header")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The object to score.

    Attributes:
        bucket: its bucket.
        key: its key, not URL-encoded.
        etag: its ETag when the request was made, without quotes; empty if unknown. The object is
            scored as it is when it is read, unless `if_match`.
        size: its size in bytes when the request was made; None if unknown.
        version_id: its version when the request was made; empty if unknown.
        format: its format; None: as its key's suffix says.
        if_match: whether an object with another ETag is refused.
        part: the rows to score; None: all.
    """

    bucket: str
    key: str
    etag: str = ""
    size: int | None = None
    version_id: str = ""
    format: Format | None = None
    if_match: bool = False
    part: Part | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether only the object with this ETag is to be scored."""
        return self.if_match or self.part is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Where to write the result.

    Attributes:
        bucket: bucket of the output.
        prefix: what the output's key begins with; the rest is the source's key.
        key: the output's key; None: made of the prefix.
        kms_key_arn: KMS key that encrypts the output; empty: the bucket's default encryption.
        format: format of the output; None: the source's, whatever `key` ends with, and lines of
            JSON for a picture.
    """

    bucket: str
    prefix: str = ""
    key: str | None = None
    kms_key_arn: str = ""
    format: Format | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to score.

    Attributes:
        on_bad_rows: "fail": an invalid row fails the object. "skip": it goes to a file of its own.
        keep_columns: whether the output begins with the columns of the source.
        source_prefix: what the source's key begins with and the output's key leaves out.
        header: whether the first line of a CSV has column names; "auto" detects it.
    """

    on_bad_rows: OnBadRows = "fail"
    keep_columns: bool = False
    source_prefix: str = ""
    header: Header = "auto"

    @property
    def has_names(self) -> bool | None:
        """Whether a CSV has column names; None: to be detected."""
        return None if self.header == "auto" else self.header == "present"

    def document(self) -> dict[str, Any]:
        """Return the options' JSON document."""
        return _given(self, _OPTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRequest:
    """A request to score one object into another.

    Attributes:
        source: the object to score.
        output: where to write the result.
        options: how to score.
        event: name of the event that made the request, for logs and results; empty without one.
    """

    source: Source
    output: Output
    options: Options = field(default_factory=Options)
    event: str = ""

    @classmethod
    def from_document(cls, document: object) -> ScoreRequest:
        """Read a request's JSON document.

        Raises:
            InvalidRequestError: a field is missing, unknown or invalid; the message names it.
        """
        fields = Fields(document, "", _REQUEST)
        fields.choice("shearling", (SCORE,), SCORE)
        return cls(
            event=fields.text("event"),
            source=_source(fields.object("source")),
            output=_output(fields.object("output")),
            options=read_options(fields.object("options")),
        )

    def document(self) -> dict[str, Any]:
        """Return the request's JSON document, without fields that are not given."""
        source = _given(self.source, _SOURCE)
        if self.source.part is not None:
            source["part"] = self.source.part.document()
        return {
            "shearling": SCORE,
            "event": self.event,
            "source": source,
            "output": _given(self.output, _OUTPUT),
            "options": self.options.document(),
        }

    @property
    def source_format(self) -> Format:
        """The format of the source.

        Raises:
            InvalidRequestError: neither the request nor the key says it.
        """
        return self.source.format or format_of(self.source.key)

    @property
    def output_format(self) -> Format:
        """The format of the output.

        Raises:
            InvalidRequestError: as for `source_format`.
        """
        return self.output.format or output_format_of(self.source_format)

    @property
    def output_key(self) -> str:
        """The key of the output; of the source's own name if the format is unknown."""
        if self.output.key is not None:
            return self.output.key
        key = self.output.prefix + self.source.key.removeprefix(self.options.source_prefix)
        is_other = self.output.format is not None or self._is_only_source
        return renamed(key, self.output_format) if is_other else key

    @property
    def _is_only_source(self) -> bool:
        """Whether the source is of a format that no output has."""
        try:
            return self.source_format not in OUTPUTS
        except InvalidRequestError:
            return False


def is_score_request(event: object) -> bool:
    """Return whether an event is a score request, valid or not."""
    return isinstance(event, dict) and event.get("shearling") == SCORE


def _given(part: Source | Output | Options, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a part of a request that are given."""
    fields = {name: getattr(part, name) for name in names}
    return {
        name: value
        for name, value in fields.items()
        if value is not None and value is not False and value != ""
    }


def _source(value: object) -> Source:
    fields = Fields(value, "source", _SOURCE)
    source = Source(
        bucket=fields.text("bucket", required=True),
        key=fields.text("key", required=True),
        etag=fields.text("etag").strip('"'),
        size=fields.count("size"),
        version_id=fields.text("version_id"),
        format=format_field(fields),
        if_match=fields.flag("if_match"),
        part=Part.from_document(fields.object("part"), "source.part"),
    )
    if source.is_pinned and not source.etag:
        name = "part" if source.part else "if_match"
        raise InvalidRequestError(f"source.etag: missing, but `source.{name}` requires it")
    return source


def _output(value: object) -> Output:
    fields = Fields(value, "output", _OUTPUT)
    output = Output(
        bucket=fields.text("bucket", required=True),
        prefix=fields.text("prefix"),
        key=fields.text("key") or None,
        kms_key_arn=fields.text("kms_key_arn"),
        format=format_field(fields, allowed=OUTPUTS),
    )
    if output.key is not None and output.prefix:
        raise InvalidRequestError("output: has both `key` and `prefix`: leave out one of them")
    return output


def read_options(value: object) -> Options:
    """Read the options of a request.

    Raises:
        InvalidRequestError: a field is unknown or invalid; the message names it.
    """
    fields = Fields(value, "options", _OPTIONS)
    return Options(
        on_bad_rows=cast("OnBadRows", fields.choice("on_bad_rows", ("fail", "skip"), "fail")),
        keep_columns=fields.flag("keep_columns"),
        source_prefix=fields.text("source_prefix"),
        header=cast("Header", fields.choice("header", ("auto", "present", "absent"), "auto")),
    )


def format_field(
    fields: Fields, name: str = "format", allowed: Collection[Format] = SUPPORTED
) -> Format | None:
    """Return the format that a field names; None without one."""
    found = fields.choice(name, allowed, "")
    return cast("Format", found) if found else None


def check_places(request: ScoreRequest) -> None:
    """Refuse a result whose files would replace or delete its own source.

    Raises:
        InvalidRequestError: the source is the output, or one of the files beside it.
    """
    source, output = request.source, request.output
    for ending in ("", MANIFEST, ERROR, REJECTED):
        key = request.output_key + ending
        if (source.bucket, source.key) == (output.bucket, key):
            raise InvalidRequestError(
                f"output: {key!r:.200} would be the source itself: write to another prefix"
            )
