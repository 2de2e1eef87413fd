"""Score many objects with a model: on AWS by its state machine, or on this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from shearling.batches.local_executor import LocalExecutor
from shearling.batches.machines import machine_of, machines
from shearling.batches.places import Places, output_place, parse_place
from shearling.batches.run import BatchRun
from shearling.batches.run_document import RunDocument, new_id
from shearling.batches.run_files import RunFiles
from shearling.batches.state_machine import newest, read_input, stepfunctions_client
from shearling.errors import InvalidRequestError, ModelNotFoundError
from shearling.models.load import load_model
from shearling.registry.registry import Registry
from shearling.storage.uris import S3Place, parse_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shearling.batches.executions import Executor
    from shearling.batches.places import Place
    from shearling.batches.state_machine import Execution
    from shearling.scoring.blocks import Scorer
    from shearling.scoring.formats import Format
    from shearling.scoring.request import Header, OnBadRows

    Path = str | os.PathLike[str]


def batch(
    target: str,
    inputs: Path | Sequence[Path],
    output: Path,
    *,
    max_concurrency: int | None = None,
    tolerate: float = 0,
    on_bad_rows: OnBadRows = "fail",
    keep_columns: bool = False,
    header: Header = "auto",
    input_format: Format | None = None,
    output_format: Format | None = None,
    kms_key_arn: str = "",
    part_bytes: int | None = None,
    allow_pickle: bool = False,
    wait: bool = False,
    registry: Path | Registry | None = None,
    client_of: Callable[[str], Any] = stepfunctions_client,
) -> BatchRun:
    """Score objects with a model, each into an object of its own, and return the run.

    On AWS, the state machine of the function scores many objects and parts of objects at a time,
    with the version that the alias serves when the run begins. With a registry in a directory, or
    with files of this machine, this process does the same.

    Args:
        target: on AWS `<function>:<alias>`, as in `acme-fraud:prod`. On this machine a ref of the
            registry, as in `fraud:prod`.
        inputs: objects, prefixes or patterns, as `s3://in/2026/*.parquet` or paths. `*` stays
            within a folder, `**` does not.
        output: an empty prefix for the results, as a URI or path.
        max_concurrency: number of parts that are scored at a time; None: 50 on AWS, and the number
            of processors on this machine.
        tolerate: share of the parts that may fail, in percent. When more have failed, no others are
            begun.
        on_bad_rows: "fail": an invalid row fails its part. "skip": it goes to a file of its own.
        keep_columns: whether the outputs begin with the columns of their sources.
        header: whether the first line of a CSV has column names; "auto" detects it.
        input_format: format of all inputs; None: as the suffix of each says.
        output_format: format of the outputs; None: that of each source.
        kms_key_arn: KMS key that encrypts the outputs; empty: the bucket's default encryption.
        part_bytes: bytes above which an object is cut into parts; None: 128 MiB.
        allow_pickle: on this machine, whether to load a pickle, which runs the code in it. The ref
            must then be pinned.
        wait: whether to wait for the end of the run, as `BatchRun.wait` does.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.
        client_of: returns the client of Step Functions in a region.

    Raises:
        InvalidRequestError: the run is malformed; or on this machine, it cannot be planned.
        InvalidRefError: the target is malformed.
        ModelNotFoundError: there is no such function, alias or model, or it has no state machine.
        FormatError: the model cannot be loaded on this machine.
        StoreError: a store or Step Functions refuses.
        BatchFailedError: with `wait`, the run has failed.
    """
    found = Registry.existing(registry)
    given = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    texts, into = [os.fspath(text) for text in given], os.fspath(output)
    places = [*(parse_place(text, "inputs") for text in texts), output_place(into)]
    fields: dict[str, Any] = {
        # Absolute, so that the run is the same from another directory; an empty one is refused.
        "inputs": [text and str(place) for text, place in zip(texts, places, strict=False)],
        "input_format": input_format,
        "output": into and str(places[-1]),
        "output_format": output_format,
        "kms_key_arn": kms_key_arn,
        "max_concurrency": max_concurrency,
        "tolerated_failure_percentage": tolerate,
        "part_bytes": part_bytes,
        "options": {"on_bad_rows": on_bad_rows, "keep_columns": keep_columns, "header": header},
    }
    executor: Executor
    if kms_key_arn and places[-1].is_local:
        raise InvalidRequestError(
            "kms_key_arn: files of this machine are not encrypted; it is for outputs in S3"
        )
    if _is_here(found, places):
        pin = found.resolve(target)
        fields |= {"model": pin.model, "version": pin.version}
        if max_concurrency is None:
            fields["max_concurrency"] = os.cpu_count()
        # A pickle has to be pinned by the caller, not by us.
        ref = target if allow_pickle else str(pin)
        executor = _local(found, ref, str(pin), allow_pickle=allow_pickle)
    else:
        if allow_pickle:
            raise InvalidRequestError(
                "allow_pickle is for runs on this machine; that of a function is Terraform's"
            )
        deployment, selector, executor = machine_of(found, target, client_of)
        fields |= {"model": deployment.model, **selector}
    document = _document(fields)
    run = BatchRun(document, executor, Places())
    executor.begin(document, again=False)
    if wait:
        run.wait()
    return run


def batch_run(
    run: Path,
    *,
    allow_pickle: bool = False,
    registry: Path | Registry | None = None,
    client_of: Callable[[str], Any] = stepfunctions_client,
) -> BatchRun:
    """Return a run that was begun before, in this process or in another.

    Args:
        run: ID of a run on AWS, or the output of any run.
        allow_pickle: on this machine, whether `redrive` may load a pickle.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY. A run on this
            machine needs it for `redrive` only.
        client_of: returns the client of Step Functions in a region.

    Raises:
        ModelNotFoundError: there is no such run.
        InvalidRequestError: the output was moved since the run began.
        StoreError: a store or Step Functions refuses.
    """
    text = os.fspath(run)
    if "/" not in text and not os.path.isdir(text):  # noqa: PTH112 - a text, and no path yet
        found = Registry.existing(registry)
        for machine in machines(found, client_of):
            if (execution := machine.last(text)) is not None:
                return BatchRun(read_input(execution), machine, Places())
        raise ModelNotFoundError(
            f"run {text!r:.200}: no state machine of {found.store.uri} has such a run. A run on "
            "this machine, or of more than 90 days ago, is found by its output"
        )
    plan = RunFiles(text, Places()).plan()
    place = output_place(text)
    if plan is None:
        raise ModelNotFoundError(f"{place} is not the output of a batch run")
    _check_not_moved(plan.run, place)
    executor: Executor = _local(registry, plan.pin, plan.pin, allow_pickle=allow_pickle)
    if plan.function:
        on_aws = machines(Registry.existing(registry), client_of)
        executor = next((each for each in on_aws if each.last(plan.run.run)), executor)
    return BatchRun(plan.run, executor, Places())


def batch_runs(
    limit: int = 20,
    *,
    registry: Path | Registry | None = None,
    client_of: Callable[[str], Any] = stepfunctions_client,
) -> list[Execution]:
    """Return the last executions of runs on AWS, newest first; Step Functions keeps 90 days.

    Args:
        limit: number of executions at most.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.
        client_of: returns the client of Step Functions in a region.

    Raises:
        InvalidRequestError: the limit is negative.
        StoreError: Step Functions refuses.
    """
    if limit < 0:
        raise InvalidRequestError(f"limit: {limit} is not a number from 0")
    return newest(machines(Registry.existing(registry), client_of), limit)


def _document(fields: dict[str, Any]) -> RunDocument:
    """Return what a new run is asked for.

    Raises:
        InvalidRequestError: a field is invalid; the message names the argument.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return RunDocument.from_document({"run": new_id(fields["model"]), **given})
    except InvalidRequestError as error:
        text = str(error).replace("tolerated_failure_percentage", "tolerate")
        raise InvalidRequestError(text.removeprefix("options.")) from error


def _check_not_moved(run: RunDocument, place: Place) -> None:
    """Refuse a run whose files are at another place than its plan says.

    Raises:
        InvalidRequestError: they were moved there, but the plan has the places of before.
    """
    planned = output_place(run.output)
    both_local = place.is_local and planned.is_local
    is_same = place == planned or (both_local and _real(place) == _real(planned))
    if not is_same:
        raise InvalidRequestError(
            f"{str(place)!r:.300} has the files of {run.run}, which writes to "
            f"{str(planned)!r:.300}: name that, or begin a new run"
        )


def _real(place: Place) -> str:
    return os.path.realpath(str(place))


def _is_here(registry: Registry, places: Sequence[Place]) -> bool:
    """Return whether a run is done on this machine.

    Raises:
        InvalidRequestError: some places are on this machine and others are not.
    """
    if not isinstance(parse_uri(registry.store.uri), S3Place):
        return True
    local = [place for place in places if place.is_local]
    if local and len(local) < len(places):
        raise InvalidRequestError(
            f"{str(local[0])!r:.200} is on this machine, but other places of the run are in S3: "
            "use S3 for all, or this machine for all"
        )
    return bool(local)


def _local(
    registry: Path | Registry | None, ref: str, pin: str, *, allow_pickle: bool
) -> LocalExecutor:
    def load() -> Scorer:
        found = Registry.existing(registry)
        return load_model(ref, allow_pickle=allow_pickle, registry=found).scorer()

    return LocalExecutor(Places(), load, pin)
