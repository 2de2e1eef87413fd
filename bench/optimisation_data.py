"""Writes the rows of text models: sentences as tokens, and as pictures.

Runs with the packages of the benchmark's optimisation, which the project does not have.
"""

from __future__ import annotations

import importlib
import inspect
import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont  # type: ignore[import-not-found,unused-ignore]
from tokenizers import Tokenizer  # type: ignore[import-not-found,unused-ignore]

#: Modules of the standard library whose import does something.
_NOT_IMPORTED = ("antigravity", "idlelib", "this", "tkinter", "turtle", "turtledemo")

_SENTENCES, _TOKENS = 1000, 64
_PICTURES, _HEIGHT, _WIDTH = 600, 48, 320


def sentences() -> list[str]:
    """Return the first sentences of the standard library's docstrings, in an order of its own."""
    found: dict[str, None] = {}
    for name in sorted(sys.stdlib_module_names):
        if name.startswith("_") or name in _NOT_IMPORTED:
            continue
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue  # of another system
        members = [member for _, member in sorted(vars(module).items(), key=lambda item: item[0])]
        for member in (
            module,
            *filter(inspect.isroutine, members),
            *filter(inspect.isclass, members),
        ):
            text = (inspect.getdoc(member) or "").partition("\n\n")[0].replace("\n", " ")
            if len(text) in range(20, 400):
                found[text] = None
    texts = list(found)
    random.Random(0).shuffle(texts)  # noqa: S311 - the same order each time
    return texts


def main() -> None:
    """Write the rows of both models to a directory."""
    folder, directory = Path(sys.argv[1]), Path(sys.argv[2])
    texts = sentences()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(_TOKENS)
    tokenizer.enable_padding(length=_TOKENS)
    encoded = tokenizer.encode_batch(texts[:_SENTENCES])
    np.savez(
        directory / "sentences.npz",
        input_ids=np.array([each.ids for each in encoded]),
        attention_mask=np.array([each.attention_mask for each in encoded]),
    )
    phrases = (" ".join(text.split()[:3]) for text in texts)
    short = list(dict.fromkeys(text for text in phrases if len(text) in range(5, 24)))[:_PICTURES]
    np.savez(directory / "pictures.npz", x=np.stack([picture(text) for text in short]))


def picture(text: str) -> np.ndarray:
    """Return a text as the recogniser reads it: [channels, height, width] from -1 to 1."""
    draws = random.Random(text)  # noqa: S311 - the same picture each time
    font = ImageFont.load_default(size=draws.randint(24, 32))
    width = int(font.getlength(text)) + 14
    paper, ink = draws.randint(180, 255), draws.randint(0, 90)
    image = Image.new("RGB", (width, _HEIGHT), (paper, paper, paper))
    ImageDraw.Draw(image).text((5, draws.randint(3, 10)), text, font=font, fill=(ink, ink, ink))
    image = image.resize((min(width, _WIDTH), _HEIGHT))
    values = np.zeros((_HEIGHT, _WIDTH, 3), np.float32)
    noise = np.random.default_rng(len(text)).normal(0, 0.03, (_HEIGHT, image.width, 3))
    values[:, : image.width] = np.asarray(image, np.float32) / 127.5 - 1 + noise
    return values.transpose(2, 0, 1)


if __name__ == "__main__":
    main()
