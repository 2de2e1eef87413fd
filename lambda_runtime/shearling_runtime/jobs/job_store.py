"""The jobs of one alias as objects of a bucket or a directory; their state is derived from these.

```
jobs/<alias>/<id>/job.json        what was asked for                      created, never changed
jobs/<alias>/<id>/request         the body; its arrival starts the job    created, or uploaded
jobs/<alias>/<id>/attempt.json    the latest attempt                      overwritten
jobs/<alias>/<id>/result-<hex>    the outputs of one attempt              created
jobs/<alias>/<id>/outcome.json    the commit point: names the result      created, never changed
completed/<alias>/<id>/<status>.json    the same outcome, as an event     created
secret/idempotency                the key of IDs                          created, never changed
```
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import orjson

from shearling.errors import StoreError
from shearling.registry.record_reader import read_record
from shearling.storage.uris import DirectoryPlace, S3Place, parse_uri
from shearling_runtime.jobs.job_ids import SECRET_BYTES, is_id
from shearling_runtime.jobs.records import Attempt, Job, Outcome, Result, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from shearling.storage.conditional import ConditionalObjects
    from shearling.storage.store import Store

#: How often a job is tried. Terraform's queue says the same.
ATTEMPTS = 5

#: Seconds that an upload's URL is valid, and days after which a queue forgets a message.
UPLOAD_SECONDS, QUEUE_DAYS = 3600, 4
DAY_SECONDS = 86_400

#: Seconds by which clocks may differ, and that an object's event may take.
_SLACK_SECONDS = 120

#: How often a refused put is tried again while nobody has created the key.
_UNDECIDED = 20


class Links(Protocol):
    """URLs by which a caller uploads a body and downloads a result, without other credentials."""

    def upload(self, key: str, job_id: str) -> str:
        """Return the URL that the body of a job is sent to, by PUT."""
        ...

    def download(self, key: str, job_id: str) -> str:
        """Return the URL of a result."""
        ...


@dataclass(frozen=True, slots=True)
class State:
    """A job, and what became of it so far.

    Attributes:
        job: the job.
        status: what its objects say.
        outcome: the outcome; None while it is queued.
        has_request: whether its body has arrived.
    """

    job: Job
    status: Status
    outcome: Outcome | None
    has_request: bool


class JobStore:
    """Creates, reads and finishes the jobs of one alias.

    Attributes:
        alias: alias that the jobs belong to.

    Args:
        store: bucket or directory of the jobs.
        alias: alias that the jobs belong to; an ID of another alias is unknown.
        links: makes URLs of objects.
        keep_days: days after which a job is unknown.
        clock: returns the seconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        alias: str,
        links: Links,
        *,
        keep_days: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self.alias = alias
        self._links = links
        self._keep_seconds = keep_days * DAY_SECONDS
        self._clock = clock

    def now(self) -> int:
        """Return the seconds since 1970."""
        return int(self._clock())

    @property
    def secret(self) -> bytes:
        """The key of IDs, made by whoever needs it first."""
        return _secret(self._store)

    def create(self, job_id: str, headers: dict[str, str], fingerprint: str = "") -> Job:
        """Create a job, or return the one that an earlier request has created under the ID."""
        now = self.now()
        job = Job(
            id=job_id,
            created=now,
            expires=now + self._keep_seconds,
            headers=headers,
            fingerprint=fingerprint,
        )
        key = self._key(job_id, "job.json")
        if _create(self._store, key, orjson.dumps(job.document())):
            return job
        return read_record(self._store, key, Job.parse) or job

    def put_request(self, job_id: str, body: bytes) -> None:
        """Store the body of a job, which starts it; an earlier body of the same job stays."""
        _create(self._store, self._key(job_id, "request"), body)

    def upload_url(self, job_id: str) -> str:
        """Return the URL that the body of a job is sent to."""
        return self._links.upload(self._key(job_id, "request"), job_id)

    def download_url(self, result: Result, job_id: str) -> str:
        """Return the URL of a job's result."""
        return self._links.download(result.key, job_id)

    def request_size(self, job_id: str) -> int | None:
        """Return the number of bytes of a job's body; None if it has not arrived."""
        return self._store.size(self._key(job_id, "request"))

    def request_body(self, job_id: str) -> bytes:
        """Return the body of a job; empty if it has not arrived."""
        return self._store.read(self._key(job_id, "request")) or b""

    def state(self, job_id: str) -> State | None:
        """Return a job with its state; None if there is no such job of this alias any more."""
        job = self.job(job_id)
        return None if job is None else self.state_of(job)

    def job(self, job_id: str) -> Job | None:
        """Return what a job asks for; None if there is no such job of this alias any more."""
        if not is_id(job_id):
            return None
        job = read_record(self._store, self._key(job_id, "job.json"), Job.parse)
        return None if job is None or job.expires <= self.now() else job

    def outcome(self, job_id: str) -> Outcome | None:
        """Return the recorded outcome of a job; None without one."""
        return read_record(self._store, self._key(job_id, "outcome.json"), Outcome.parse)

    def state_of(self, job: Job) -> State:
        """Return a job with its state."""
        outcome = self.outcome(job.id)
        has_request = outcome is not None or self.request_size(job.id) is not None
        outcome = outcome or self._given_up(job, has_request=has_request)
        return State(job, outcome.status if outcome else "queued", outcome, has_request)

    def request_key(self, job_id: str) -> str:
        """Return the key of a job's body."""
        return self._key(job_id, "request")

    def objects(self) -> tuple[ConditionalObjects, str]:
        """Return the objects of the bucket or the directory, and its name.

        Raises:
            StoreError: the jobs are in memory.
        """
        from shearling.storage.directory_objects import DirectoryObjects
        from shearling.storage.s3_bucket import S3Bucket

        match parse_uri(self._store.uri):
            case S3Place(bucket, _):
                return S3Bucket(bucket), bucket
            case DirectoryPlace(directory):
                return DirectoryObjects(directory), str(directory)
        raise StoreError(f"{self._store.uri} has no objects that are read in parts")

    def begin(self, job_id: str, attempt: Attempt) -> None:
        """Record that an attempt begins, or how it failed."""
        self._store.write(self._key(job_id, "attempt.json"), orjson.dumps(attempt.document()))

    def put_result(self, job_id: str, data: bytes, content_type: str, length: int | None) -> Result:
        """Store the outputs of one attempt; nobody sees them before an outcome names them."""
        key = self.new_result_key(job_id)
        self._store.write(key, data, content_type=content_type)
        return Result(key=key, content_type=content_type, size=len(data), json_length=length)

    def new_result_key(self, job_id: str) -> str:
        """Return a key for the outputs of one attempt."""
        return self._key(job_id, f"result-{secrets.token_hex(4)}")

    def finish(self, job_id: str, outcome: Outcome) -> Outcome:
        """Record the outcome of a job, and return the first that was recorded."""
        key = self._key(job_id, "outcome.json")
        if not _create(self._store, key, orjson.dumps(outcome.document())):
            outcome = read_record(self._store, key, Outcome.parse) or outcome
        self.announce(job_id, outcome)
        return outcome

    def announce(self, job_id: str, outcome: Outcome) -> None:
        """Create the object whose event tells others of an outcome, unless it exists."""
        key = f"completed/{self.alias}/{job_id}/{outcome.status}.json"
        _create(self._store, key, orjson.dumps({"id": job_id, **outcome.document()}))

    def read_result(self, result: Result) -> bytes | None:
        """Return the bytes of a result; None if they have expired."""
        return self._store.read(result.key)

    def queued(self) -> list[str]:
        """Return the IDs of all jobs whose bodies have arrived and that have no outcome."""
        prefix = f"jobs/{self.alias}/"
        keys = {key.removeprefix(prefix) for key in self._store.keys(prefix)}
        ids = [
            job_id for job_id, _, name in (key.partition("/") for key in keys) if name == "request"
        ]
        return [job_id for job_id in ids if f"{job_id}/outcome.json" not in keys]

    def _given_up(self, job: Job, *, has_request: bool) -> Outcome | None:
        """Return the outcome of a job that nobody will run any more; None if one may.

        It is not recorded, so that a message of the dead-letter queue can be sent again.
        """
        now = self.now() - _SLACK_SECONDS
        if not has_request:
            ends, reason = job.created + UPLOAD_SECONDS, "no body was uploaded within an hour"
            return self._failure(ends, reason, status=408) if now > ends else None
        attempt = read_record(self._store, self._key(job.id, "attempt.json"), Attempt.parse)
        if attempt and attempt.number >= ATTEMPTS:
            reason = attempt.error or (
                f"the function was stopped at each of {ATTEMPTS} attempts: it ran out of time or "
                "memory. Raise its `timeout_seconds` or `memory_mb`, or send fewer rows"
            )
            if attempt.error or now > attempt.ends:
                return self._failure(
                    attempt.ends, reason, version=attempt.version, status=attempt.error_status
                )
        ends = job.created + UPLOAD_SECONDS + QUEUE_DAYS * DAY_SECONDS
        reason = f"the job was not started within {QUEUE_DAYS} days"
        return self._failure(ends, reason) if now > ends else None

    @staticmethod
    def _failure(ends: int, reason: str, *, version: str = "", status: int = 500) -> Outcome:
        return Outcome(
            status="failed", finished=ends, version=version, error=reason, error_status=status
        )

    def _key(self, job_id: str, name: str) -> str:
        return f"jobs/{self.alias}/{job_id}/{name}"


@lru_cache(maxsize=4)
def _secret(store: Store) -> bytes:
    """Return the key of IDs, which never changes."""
    key = "secret/idempotency"
    if found := store.read(key):
        return found
    made = secrets.token_bytes(SECRET_BYTES)
    _create(store, key, made)
    return store.read(key) or made


def _create(store: Store, key: str, data: bytes) -> bool:
    """Create an object unless it exists; return whether this call has.

    Raises:
        StoreError: the store does not decide.
    """
    for _ in range(_UNDECIDED):
        if store.create(key, data):
            return True
        if store.size(key) is not None:
            return False
    raise StoreError(f"cannot write {key} in {store.uri}: another writer is in the way")
