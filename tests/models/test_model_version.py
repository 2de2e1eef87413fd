"""How a pushed version prints, and shows in a notebook."""

from __future__ import annotations

from typing import Any

from shearling.models.model_version import ModelVersion


def shown(**changes: Any) -> ModelVersion:
    from shearling.refs import Pin

    fields: dict[str, Any] = {
        "pin": Pin("fraud", 7, "sha256:" + "a" * 64),
        "is_new": True,
        "uploaded_bytes": 1_300_000,
        "size_bytes": 12_345_678,
        "format": "onnx",
        "alias": None,
        "registry": "s3://bucket/<prefix>",
    }
    return ModelVersion(**fields | changes)


def test_a_version_prints_as_one_line() -> None:
    assert str(shown()) == "fraud:7 (onnx, 12.3 MB; 1.3 MB uploaded)"
    assert str(shown(is_new=False, uploaded_bytes=0, alias="prod")) == (
        "fraud:7 (onnx, 12.3 MB; already in the registry, nothing uploaded, alias prod)"
    )


def test_a_version_is_a_table_in_a_notebook() -> None:
    table = shown(alias="prod")._repr_html_()
    assert table.startswith("<table>")
    for text in ("fraud", "<td>7</td>", "prod", "12.3 MB", "sha256:aaa", "s3://bucket/&lt;prefix"):
        assert text in table
    assert "<prefix>" not in table
