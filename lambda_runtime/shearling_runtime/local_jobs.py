"""Run asynchronous jobs on this machine: in a directory, one after the other, in a thread."""

from __future__ import annotations

import re
import threading
import uuid
from collections import Counter
from typing import TYPE_CHECKING

from shearling.errors import ShearlingError
from shearling.loopback import Reply
from shearling.protocol.constants import LENGTH_HEADER
from shearling_runtime.events.jobs import Call, run_job
from shearling_runtime.jobs.job_store import ATTEMPTS
from shearling_runtime.jobs.opening import body_limit, open_jobs
from shearling_runtime.telemetry import log_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.loopback import Request
    from shearling_runtime.serving.model_server import ModelServer

#: Paths that URLs of S3 stand for on AWS.
_PATH = re.compile(r"/v2/models/[^?]*/jobs/([0-9a-f]{32})/(request|result)")

#: Status of the response to a request that became a job.
_ACCEPTED = 202

#: Seconds that a job may take, as on Lambda, and between two attempts.
_JOB_SECONDS, _PAUSE_SECONDS = 900.0, 2.0


class LocalJobs:
    """The jobs of a local server.

    Args:
        server: server of the model; its settings name the directory.
        alias: alias that is served; empty for none.
    """

    def __init__(self, server: ModelServer, alias: str) -> None:
        self._server = server
        self._jobs = open_jobs(server.settings, alias or None)
        self._tries = Counter[str]()
        self._wake = threading.Event()
        self._wake.set()  # a directory may have jobs of an earlier server

    def start(self) -> None:
        """Run jobs from now on, until the process ends."""
        threading.Thread(target=self._work, daemon=True).start()

    def answering(self, others: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
        """Return a function that answers uploads and downloads, and leaves the rest to another."""

        def answer(request: Request) -> Reply:
            reply = self._transfer(request) or others(request)
            if reply.status == _ACCEPTED:
                self.wake()
            return reply

        return answer

    def wake(self) -> None:
        """Look for new jobs."""
        self._wake.set()

    def limit(self, request: Request, others: int) -> int:
        """Return how many bytes the body of a request may have; `others` unless it is an upload."""
        is_upload = request.method == "PUT" and _PATH.fullmatch(request.target)
        return body_limit(self._server.settings) if is_upload else others

    def _transfer(self, request: Request) -> Reply | None:
        """Answer an upload or a download; None for other requests."""
        match = _PATH.fullmatch(request.target)
        if match is None:
            return None
        job_id, what = match.groups()
        state = self._jobs.state(job_id)
        if state is None:
            return Reply.error(404, f"job {job_id} is not known here")
        if what == "request" and request.method == "PUT":
            self._jobs.put_request(job_id, request.body)
            self.wake()
            return Reply(200, {}, b"")
        result = state.outcome.result if state.outcome else None
        data = self._jobs.read_result(result) if result else None
        if what != "result" or request.method != "GET" or result is None or data is None:
            return Reply.error(404, f"job {job_id} has no {what} to {request.method:.10}")
        headers = {"content-type": result.content_type}
        if result.json_length is not None:
            headers[LENGTH_HEADER] = str(result.json_length)
        return Reply(200, headers, data)

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            for job_id in self._jobs.queued():
                if self._tries[job_id] < ATTEMPTS:  # else given up, until the next server
                    self._run(job_id)

    def _run(self, job_id: str) -> None:
        self._tries[job_id] += 1
        request_id = str(uuid.uuid4())
        call = Call(attempt=self._tries[job_id], seconds_left=_JOB_SECONDS, request_id=request_id)
        try:
            run_job(job_id, self._jobs, call, self._server)
        except ShearlingError as error:
            log_error("job failed", error, request_id=request_id, model=self._server.name)
            if self._tries[job_id] < ATTEMPTS:
                threading.Timer(_PAUSE_SECONDS, self.wake).start()
        else:
            del self._tries[job_id]
