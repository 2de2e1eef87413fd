"""Try students: fit them on a teacher's answers, convert, judge and time them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shearling.errors import ShearlingError
from shearling.formats.base import LoadSettings, load_bundle
from shearling.models.conversion import convert_model
from shearling.models.distillation import Measured
from shearling.models.judgement import Judge
from shearling.models.labelled_rows import plain
from shearling.models.latency import TIMED_ROWS, median_milliseconds
from shearling.models.needed_packages import teacher_cost
from shearling.models.row_split import hold_out, taken_rows
from shearling.models.students import as_float32, fit
from shearling.models.teacher import Answers
from shearling.models.verification import draft_manifest
from shearling.progress import progress
from shearling.tensors.inputs import to_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from shearling.models.teacher import Teacher

#: Share of the rows that are held out to judge the students, and the fewest and the most of them.
_HELD_OUT, _FEWEST, _MOST = 0.25, 50, 10_000

#: Rows that verify the conversion of a student.
_EXAMPLE_ROWS = 256


@dataclass(frozen=True, slots=True)
class Trial:
    """A student that was fitted and converted.

    Attributes:
        estimator: the fitted student; None if it could not be fitted or converted.
        answer: the converted student: returns its outputs for rows.
        answers: its labels or numbers for the judged rows.
        measured: its row of the report.
    """

    estimator: Any
    answer: Callable[[Any], Any] | None
    answers: NDArray[Any] | None
    measured: Measured


@dataclass(frozen=True, slots=True)
class Trials:
    """What the students have to learn, and how they are judged.

    Attributes:
        teacher: the teacher.
        raw: the rows as the teacher takes them.
        rows: the same with floats of 32 bits, for the students.
        answers: what the teacher answered to them.
        fitted: places of the rows to learn from.
        judged: places of the held-out rows.
        labels: the right answers to all rows; None if there are none.
        judge: judges answers to the held-out rows.
    """

    teacher: Teacher
    raw: Any
    rows: Any
    answers: Answers
    fitted: NDArray[np.intp]
    judged: NDArray[np.intp]
    labels: Any
    judge: Judge

    @classmethod
    def prepare(cls, teacher: Teacher, raw: Any, labels: Any, min_agreement: float) -> Trials:
        """Ask the teacher about all rows, and choose those that judge."""
        rows = as_float32(raw)
        wanted = min(_MOST, max(_FEWEST, round(_HELD_OUT * len(rows))))
        fitted, judged = hold_out(rows, wanted, least=round(_FEWEST / _HELD_OUT))
        answers = teacher.answers(raw)
        held_out = answers.taken(judged)
        judge = Judge.of(held_out, None if labels is None else labels[judged], min_agreement)
        return cls(teacher, raw, rows, answers, fitted, judged, labels, judge)

    def of(self, students: Mapping[str, Any]) -> list[Trial]:
        """Fit, convert and judge each student, and time them side by side; smallest first."""
        answers = self.answers.taken(self.fitted)
        learnt = taken_rows(self.rows, self.fitted)
        trials: list[Trial] = []
        with progress(f"distil {self.teacher.name}", len(students), unit="student") as advance:
            for name, student in students.items():
                trials.append(self._trial(name, student, learnt, answers))
                advance(1)
        return sorted(self._timed(trials), key=_size)

    def _trial(self, name: str, student: Any, rows: Any, answers: Answers) -> Trial:
        """Fit, convert and judge a student."""
        try:
            estimator = fit(student, rows, answers)
            size, answer = self._converted(estimator)
            own = answer(taken_rows(self.rows, self.judged))
        except ShearlingError as error:
            verdict = f"impossible: {' '.join(str(error).split()):.200}"
            return Trial(None, None, None, Measured(name=name, verdict=verdict))
        return Trial(
            estimator,
            answer,
            own,
            Measured(
                name=name,
                size_bytes=size,
                agreement=self.judge.agreement(own),
                quality=self.judge.quality(own),
                verdict=self.judge.verdict(own),
            ),
        )

    def _converted(self, estimator: Any) -> tuple[int, Callable[[Any], NDArray[Any]]]:
        """Return the size of the bundle's files, and a function for its labels or numbers."""
        with tempfile.TemporaryDirectory(prefix="shearling-") as directory:
            place = Path(directory)
            converted = convert_model(estimator, self.example, place)
            manifest = draft_manifest(converted, "student", place)
            predictor = load_bundle(manifest, place, LoadSettings())
        inputs, columns = manifest.signature.inputs, manifest.options.get("columns", ())
        output = "prediction" if self.answers.classes is None else "label"

        def answer(rows: Any) -> NDArray[Any]:
            tensors = to_tensors(rows, inputs, columns)
            return predictor.predict(tensors, [output])[output]

        return manifest.size, answer

    @property
    def example(self) -> Any:
        """Rows to convert a student with: some that it learnt from."""
        return taken_rows(self.rows, self.fitted[:_EXAMPLE_ROWS])

    def _timed(self, trials: list[Trial]) -> list[Trial]:
        """Return the trials with their latencies."""
        answers = {i: trial.answer for i, trial in enumerate(trials) if trial.answer}
        one, many = (
            median_milliseconds({i: partial(answer, rows) for i, answer in answers.items()})
            for rows in self._timed_rows(self.rows)
        )
        return [
            replace(trial, measured=replace(trial.measured, latency_ms=(one[i], many[i])))
            if i in answers
            else trial
            for i, trial in enumerate(trials)
        ]

    def _timed_rows(self, rows: Any) -> tuple[Any, Any]:
        """Return the rows of the smaller and of the larger timed call, repeated as needed."""
        one, many = (taken_rows(rows, np.resize(self.judged, count)) for count in TIMED_ROWS)
        return one, many

    def of_teacher(self) -> Measured:
        """Return what is measured of the teacher."""
        one, many = self._timed_rows(self.raw)
        calls = {1: partial(self.teacher.ask, one), 64: partial(self.teacher.ask, many)}
        latency = median_milliseconds(calls)
        size, package = teacher_cost(self.teacher, one)
        own = self.answers.taken(self.judged)
        answers = own.values if own.labels is None else own.labels
        return Measured(
            name=self.teacher.name,
            size_bytes=size,
            latency_ms=(latency[1], latency[64]),
            agreement=1.0,
            quality=self.judge.quality(answers),
            package=package,
            verdict="teacher",
        )

    def on_labels(self, chosen: Trial) -> Trial | None:
        """Return the chosen student, fitted on the labels instead; None without labels."""
        if self.labels is None:
            return None
        places = self.fitted[self.judge.is_labelled(self.labels[self.fitted])]
        if not len(places):
            return None
        trial = self._trial(
            f"{chosen.measured.name}, fitted on y",
            chosen.estimator,
            taken_rows(self.rows, places),
            self._right_answers(self.labels[places]),
        )
        if trial.estimator is None:
            return trial
        return replace(trial, measured=replace(trial.measured, verdict="for comparison"))

    def _right_answers(self, labels: NDArray[Any]) -> Answers:
        """Return labels in the form in which a student learns from a teacher's answers."""
        if self.answers.classes is None:
            return Answers(values=labels.astype(np.float64))
        labels = plain(labels)
        # A missing label makes integers floats, which are no classes of a student.
        kind = self.answers.classes.dtype
        if labels.dtype.kind == "f" and kind.kind in "iu":
            labels = labels.astype(kind)
        return Answers(values=np.empty(0), classes=np.unique(labels), labels=labels)


def _size(trial: Trial) -> float:
    size = trial.measured.size_bytes
    return float("inf") if size is None else size
