"""Submit many flowers to the iris model as an asynchronous job, and read its answer later."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import numpy as np

import shearling as sdk

if TYPE_CHECKING:
    from shearling.client.http_model import HttpModel
    from shearling.client.lambda_model import LambdaModel

#: More rows than one request carries, so they are uploaded.
ROWS = 300_000


def submit(model: HttpModel | LambdaModel) -> None:
    """Submit a job and print its ID, which is all that another process needs."""
    random = np.random.default_rng(0)
    flowers = random.uniform((4, 2, 1, 0), (8, 5, 7, 3), (ROWS, 4)).astype(np.float32)
    print(model.infer_async(flowers).id)


def read(model: HttpModel | LambdaModel, job_id: str, seconds: float) -> None:
    """Wait for a job, and print how often each label was answered.

    Raises:
        JobTimeoutError: the job is not done yet; it goes on.
        InferenceError: the job has failed, or is unknown.
    """
    labels, counts = np.unique(
        model.job(job_id).result(timeout=seconds)["label"], return_counts=True
    )
    for label, count in zip(labels, counts, strict=True):
        print(f"label {label}: {count:,} flowers")


def main() -> None:
    """Submit or read, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["submit", "read"])
    parser.add_argument("target", help="<function>:<alias>, or the URL of an API or local server")
    parser.add_argument("job", nargs="?", help="ID that `submit` printed; only for `read`")
    parser.add_argument("--model", help="name of the model; only for a URL")
    parser.add_argument("--seconds", type=float, default=600, help="how long `read` waits")
    arguments = parser.parse_args()
    if (arguments.action == "read") != (arguments.job is not None):
        parser.error("`read` needs the ID of a job; `submit` has none")
    target = arguments.target
    try:
        model = (
            sdk.connect(target, model=arguments.model) if arguments.model else sdk.connect(target)
        )
        if arguments.job:
            read(model, arguments.job, arguments.seconds)
        else:
            submit(model)
    except sdk.ShearlingError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
