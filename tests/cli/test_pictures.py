"""push --image-settings and invoke --images: pictures from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shearling.models.load import load_model
from tests.support.cli import TARGET, invoke, output, run
from tests.support.lambda_server import LocalLambda, served
from tests.support.pictures import COLOURS, SIDE, drawn, file_of, mean_colours

if TYPE_CHECKING:
    from pathlib import Path

    from shearling.registry.registry import Registry


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a picture of each colour, and something else."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for colour in COLOURS:
        (folder / f"{colour}.png").write_bytes(file_of(drawn(colour=colour)))
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def push(tmp_path: Path, pictures: Path, models: Registry) -> list[str]:
    """The command that pushes a network that tells colours."""
    (tmp_path / "cats.onnx").write_bytes(mean_colours().SerializeToString())
    (tmp_path / "classes.txt").write_text("\n".join(COLOURS))
    assert models
    return [
        *("push", str(tmp_path / "cats.onnx"), "--name", "cats", "--example", str(pictures)),
        *("--class-names", str(tmp_path / "classes.txt")),
    ]


def test_a_network_of_pictures_is_pushed_and_invoked(
    push: list[str],
    pictures: Path,
    models: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = [f"size={SIDE}", "crop=center", "resize=40", "mean=0,0,0"]
    assert run(*push, "--image-settings", *settings) == 0
    model = load_model("cats", registry=models)
    assert model.signature.outputs[0].classes == tuple(COLOURS)
    output(capsys)
    function = served(models.store.uri, str(model.pin), tmp_path / "scratch")
    local_lambda = LocalLambda({TARGET: function})
    assert invoke(local_lambda) == 0
    assert "pass data: --images picture.jpg" in output(capsys)
    assert invoke(local_lambda, "--images", str(pictures), str(pictures / "red.png"), "--raw") == 0
    (tensor,) = json.loads(output(capsys))["outputs"]
    assert tensor["shape"] == [4, 3]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["crop=center"], "--image-settings: size is missing, as in --image-settings size=224"),
        (["size"], "--image-settings size: expected KEY=VALUE with one of size, crop"),
        (["sizes=8"], "--image-settings sizes=8: expected KEY=VALUE"),
        (["size=0"], "image: size 0 is not a whole number"),
    ],
)
def test_settings_that_are_not_allowed_are_refused(
    push: list[str], words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*push, "--image-settings", *words) == 1
    assert reason in capsys.readouterr().err


def test_a_folder_without_pictures_is_refused(
    push: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    push[push.index("--example") + 1] = str(tmp_path / "none")
    assert run(*push, "--image-settings", f"size={SIDE}") == 1
    assert "no file ends in .jpg, .jpeg, .png, .webp" in capsys.readouterr().err
