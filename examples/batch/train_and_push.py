"""Fit a classifier of customers, push it, and write files of customers to score."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import shearling as sdk


def customers(count: int, seed: int = 0) -> pd.DataFrame:
    """Return customers as a file has them."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": random.normal(100, 25, count).round(2).astype(np.float32),
            "age": random.integers(18, 90, count).astype(np.float32),
        }
    )


def fit(regularisation: float = 1.0) -> LogisticRegression:
    """Return a classifier of customers."""
    table = customers(1000)
    return LogisticRegression(C=regularisation).fit(table, table["amount"] * 2 > table["age"] * 4)


def write_files(directory: Path, files: int, rows: int) -> None:
    """Write files of customers below a directory, a folder for each month."""
    for number in range(files):
        path = directory / f"2026-{number % 12 + 1:02d}" / f"{number:05d}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        customers(rows, seed=number).to_csv(path, index=False)


def main() -> None:
    """Fit and push the model, and wait until its function serves it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, help="a directory to write files of customers to")
    parser.add_argument("--count", type=int, default=100)
    arguments = parser.parse_args()
    if arguments.files:
        write_files(arguments.files, arguments.count, rows=10_000)
    sdk.push_model(fit(), "score", example=customers(5), alias="prod", wait=True)


if __name__ == "__main__":
    main()
