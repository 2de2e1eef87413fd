"""Distil a model: push the smallest student that answers as a teacher does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shearling.bundle.processor import processor_flags, processor_name
from shearling.errors import FormatError, InvalidRequestError
from shearling.models.distillation import Distillation, Measured
from shearling.models.judgement import labels_of
from shearling.models.lineage import Lineage
from shearling.models.push import push_derived
from shearling.models.push_options import checked_metadata, is_number, text_of
from shearling.models.student_trials import Trials
from shearling.models.students import students_of
from shearling.models.teacher import Teacher
from shearling.refs import check_model
from shearling.registry.registry import Registry
from shearling.tensors.inputs import as_array, check_rows, is_frame

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from shearling.models.student_trials import Trial

#: Students that a version's record lists at most.
_MOST_RECORDED = 50


def distil(
    teacher: Any,
    X: Any,  # noqa: N803 - scikit-learn's name
    y: Any = None,
    *,
    name: str,
    student: Any = "auto",
    min_agreement: float = 0.98,
    example: Any = None,
    classes: Sequence[Any] | None = None,
    allow_pickle: bool = False,
    metadata: Mapping[str, object] | None = None,
    registry: str | os.PathLike[str] | Registry | None = None,
) -> Distillation:
    """Fit small models on a teacher's answers, and push the smallest that agrees with it.

    A quarter of the rows is held out. The students learn from the others, and no copy of a
    held-out row is among these. Each student is converted to ONNX, and its answers to the held-out
    rows are compared with the teacher's.

    Args:
        teacher: a ref of a version, a fitted estimator, or a callable that returns labels,
            probabilities of shape [rows, classes] or numbers (floats) for rows. With two `classes`,
            probabilities of the second may have shape [rows]. A pickle's ref must be pinned, with
            `allow_pickle=True`.
        X: rows as the teacher takes them: an array or a DataFrame. They need no labels. Prefer rows
            that the teacher was not fitted on.
        y: the right labels or numbers of the rows; None or NaN for a row without one. The report
            then has the quality of each model, and says whether the student would be as good
            without the teacher.
        name: the name of the student's model.
        student: "auto" for a linear model, perceptrons, a tree and histogram boosting; or an
            unfitted scikit-learn estimator, or a list of them.
        min_agreement: the share of the held-out rows in which a student must give the teacher's
            label; for numbers, the R2 against the teacher's; of several targets, the least.
        example: rows to verify the conversion on, of which the first few are published, as for
            `push_model`; by default rows of X.
        classes: the classes of a teacher that gives probabilities without naming them, in the order
            of the probabilities; by default 0, 1, 2 ...
        allow_pickle: whether to load a teacher that is a pickle, which runs the code in it.
        metadata: as for `push_model`.
        registry: the registry or its URI; by default the value of SHEARLING_REGISTRY.

    Returns:
        A report with the version that was pushed.

    Raises:
        InvalidRequestError: an argument is not allowed, or there are too few rows.
        FormatError: the teacher's answers cannot be learnt, or no student agrees enough. Then
            nothing is published, and the error's note has the report.
        ModelNotFoundError: the registry has no such teacher.
        StoreError: the registry cannot be reached or written.
    """
    check_model(text_of("name", name))
    checked_metadata(metadata)
    if not is_number(min_agreement) or not 0 < min_agreement <= 1:
        raise InvalidRequestError(
            f"min_agreement {min_agreement!r:.80}: expected a number above 0, and at most 1"
        )
    rows = _rows(X)
    labels = labels_of(y, len(rows))
    target = Registry.at(registry)
    target.store.folders("models")  # raises before the work if the registry is unreachable
    asked = Teacher.of(teacher, classes=classes, allow_pickle=allow_pickle, registry=target)
    trials = Trials.prepare(asked, rows, labels, float(min_agreement))
    tried = trials.of(students_of(student, trials.rows, trials.answers))
    report = Distillation(
        version=None,
        teacher=trials.of_teacher(),
        students=tuple(trial.measured for trial in tried),
        fitted_rows=len(trials.fitted),
        judged_rows=len(trials.judged),
        labelled_rows=trials.judge.labelled_rows,
        min_agreement=trials.judge.min_agreement,
    )
    chosen = next((trial for trial in tried if trial.measured.verdict == "passes"), None)
    if chosen is None:
        raise _none_passes(report)
    report = _compared_with_labels(trials, report, chosen)
    version = push_derived(
        chosen.estimator,
        name,
        example=trials.example if example is None else example,
        lineage=Lineage(
            parent=asked.pin, recipe=_recipe(trials, chosen), measured=_facts(report, chosen)
        ),
        metadata=metadata,
        registry=target,
    )
    return replace(report, version=version, students=_pushed(report, chosen))


def _rows(X: Any) -> Any:  # noqa: N803 - scikit-learn's name
    check_rows(X)
    if is_frame(X):
        if not hasattr(X, "iloc"):
            raise InvalidRequestError(
                f"X is a {type(X).__name__} of {type(X).__module__.partition('.')[0]}: pass a "
                "pandas DataFrame (X.to_pandas()) or an array"
            )
        return X.reset_index(drop=True)
    if isinstance(X, dict):
        raise InvalidRequestError("X is a dict: pass a DataFrame with its columns, or an array")
    rows = as_array(X, "X")
    if rows.ndim == 0:
        raise InvalidRequestError(f"X {X!r:.80}: expected rows, as an array or a DataFrame")
    return rows.astype(object) if rows.dtype.kind == "U" else rows


def _compared_with_labels(trials: Trials, report: Distillation, chosen: Trial) -> Distillation:
    """Return the report with the same student fitted on the labels, and what that says."""
    other = trials.on_labels(chosen)
    if other is None:
        return report
    students = (*report.students, other.measured)
    if other.answers is None or chosen.answers is None:
        return replace(report, students=students)
    conclusion = trials.judge.conclusion(chosen.answers, other.answers)
    return replace(report, students=students, conclusion=conclusion)


def _none_passes(report: Distillation) -> FormatError:
    judged = [one for one in report.students if one.agreement is not None]
    if judged:
        best = max(judged, key=lambda one: one.agreement or 0)
        found = f"the best is {best.name} with {best.agreement:.3f} ({best.verdict})"
    else:
        found = f"{report.students[0].name} is {report.students[0].verdict}"
    error = FormatError(
        f"no student agrees enough with the teacher on {report.judged_rows:,} held-out rows "
        f"(min_agreement={report.min_agreement:g}): {found}. Nothing was published. Pass larger "
        "students (student=[...]) or more rows, or lower min_agreement="
    )
    error.add_note(f"\n{report}")
    return error


def _recipe(trials: Trials, chosen: Trial) -> dict[str, Any]:
    """Return how the student was made."""
    return {
        "method": "distillation",
        "teacher": trials.teacher.name,
        "learnt": trials.answers.kind,
        "student": chosen.measured.name,
        "estimator": " ".join(str(chosen.estimator).split())[:400],
        "min_agreement": trials.judge.min_agreement,
    }


def _facts(report: Distillation, chosen: Trial) -> dict[str, Any]:
    """Return what was measured, for the version's record."""
    students = _pushed(report, chosen)[:_MOST_RECORDED]  # a record has at most 64 KiB
    return {
        "rows": [row.to_record() for row in (report.teacher, *students)],
        "fitted_rows": report.fitted_rows,
        "judged_rows": report.judged_rows,
        "labelled_rows": report.labelled_rows,
        "processor": processor_name(),
        "flags": list(processor_flags()),
    }


def _pushed(report: Distillation, chosen: Trial) -> tuple[Measured, ...]:
    """Return the rows of the students, of which one was pushed."""
    return tuple(
        replace(one, verdict="pushed") if one is chosen.measured else one for one in report.students
    )
