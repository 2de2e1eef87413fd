"""Delete an endpoint that is no longer used, while other releasers may begin to use it again.

Three rules make this safe. A release that makes or newly names an endpoint sees the mark of a
removal that began before; see `removal_mark`. Lambda refuses to delete a version that an alias
names, and to name a version that is deleted; so the versions go first. Only one removal of an
endpoint is under way at a time.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shearling.release.api_calls import ConflictError, ResourceMissingError
from shearling.release.endpoints.removal_mark import (
    UNUSED_TAG,
    ended_marks,
    is_being_removed,
    new_mark,
    time_text,
)

if TYPE_CHECKING:
    from shearling.release.clock import Clock
    from shearling.release.endpoints.sagemaker import SageMaker
    from shearling.release.endpoints.scaling import Scaling
    from shearling.release.endpoints.use import EndpointUse


@dataclass(frozen=True, slots=True)
class Removal:
    """Deletes endpoints of one function with their configurations and models.

    Attributes:
        sagemaker: calls to SageMaker.
        scaling: calls about the number of instances.
        clock: time source.
    """

    sagemaker: SageMaker
    scaling: Scaling
    clock: Clock

    def run(self, name: str, model_arn: str, use: EndpointUse) -> None:
        """Take the next step to remove an endpoint, unless it turns out to be in use.

        Deleting an endpoint takes SageMaker minutes. A later run removes the rest.

        Args:
            name: name of the endpoint.
            model_arn: ARN of its model.
            use: use of the function's endpoints.
        """
        mark = new_mark()
        self.sagemaker.tag(model_arn, {mark: time_text(self.clock.date())})
        is_gone = False
        try:
            if self._is_mine(model_arn, mark) and not use.is_used(name):
                is_gone = self._delete(name, use)
        finally:
            if not is_gone:
                self.sagemaker.untag(model_arn, mark)

    def _is_mine(self, model_arn: str, mark: str) -> bool:
        """Return whether no other removal is under way, and nobody needed the endpoint since."""
        tags, now = self.sagemaker.tags(model_arn), self.clock.date()
        if ended := ended_marks(tags, now):
            self.sagemaker.untag(model_arn, *ended)
        return UNUSED_TAG in tags and not is_being_removed(tags, now, except_by=mark)

    def _delete(self, name: str, use: EndpointUse) -> bool:
        """Delete what can be deleted now; return whether nothing is left."""
        for number in use.versions_of(name):
            try:
                use.function.delete_version(number)
            except ResourceMissingError:
                continue
            except ConflictError:
                return False  # an alias names it since
        return delete_parts(self.sagemaker, self.scaling, name)


def delete_parts(sagemaker: SageMaker, scaling: Scaling, name: str) -> bool:
    """Delete an endpoint; if there is none, delete its configuration and model.

    The model is deleted last, because the sweep finds what is left by the models.

    Returns:
        Whether nothing is left.
    """
    if state := sagemaker.endpoint(name):
        scaling.remove(name)
        if state.is_asynchronous:
            scaling.remove_alarm(name)
        with suppress(ConflictError):  # it is being created or deleted
            sagemaker.delete_endpoint(name)
        return False
    sagemaker.delete_configuration(name)
    if sagemaker.endpoint(name):
        return False  # created between the two calls
    sagemaker.delete_model(name)
    # Nobody can create another one without the model.
    sagemaker.delete_configuration(name)
    return True
