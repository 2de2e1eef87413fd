"""A function whose models are served by SageMaker endpoints that the releaser makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shearling.refs import Pin
from shearling.release.endpoints.sweep import EndpointSweep
from shearling.release.republish import publish_pin
from tests.support.fake_lambda import passing
from tests.support.fake_sagemaker import FakeSageMaker
from tests.support.releases import Stage, deploy, pin

if TYPE_CHECKING:
    from shearling.release.outcome import Outcome

#: The variable of a Lambda version with the name of its endpoint.
ENDPOINT = "SHEARLING_STAGED_ENDPOINT"

SETTINGS: dict[str, Any] = {
    "endpoint_prefix": "acme-fraud",
    "role_arn": "arn:aws:iam::000000000000:role/acme-fraud-endpoint",
    "image_uri": "000000000000.dkr.ecr.eu-west-1.amazonaws.com/acme:1",
    "instance_type": "ml.m5.large",
    "instances": {"min": 1, "max": 1, "target": 600},
}

#: What makes the endpoints asynchronous.
ASYNCHRONOUS: dict[str, Any] = {
    "instances": {"min": 0, "max": 2, "target": 5},
    "calls_uri": "s3://acme-jobs/calls",
}


@dataclass
class EndpointStage(Stage):
    """A function with endpoints and the aliases prod and staging, as Terraform leaves it."""

    sagemaker: FakeSageMaker = field(default_factory=FakeSageMaker)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.configure()
        self.fake.check = self._check

    def configure(self, **changes: Any) -> None:
        """Change the settings of the endpoints as Terraform does."""
        settings = {**SETTINGS, **changes}
        present = {key: value for key, value in settings.items() if value is not None}
        self.deployment = deploy(self.registry, sagemaker=present)

    def turn_off(self) -> None:
        """Let the function serve its models itself, as Terraform does."""
        self.deployment = deploy(self.registry)

    def destroy(self) -> None:
        """Delete the record of the deployment, as Terraform does before it destroys the rest."""
        self.registry.store.delete(f"deployments/{self.deployment.key}.json")

    def release(self, alias: str = "prod", **more: Any) -> Outcome:
        return super().release(alias, endpoint_clients=self.sagemaker.clients, **more)

    def publish(self, version: int) -> str:
        """Publish a model version for a batch run, and return the number of the Lambda version."""
        return publish_pin(
            self.fake.client,
            self.registry,
            self.deployment,
            Pin.parse(pin(version)),
            patience_seconds=600,
            endpoint_clients=self.sagemaker.clients,
            clock=self.fake.time.clock,
        )

    def serve(self, version: int, alias: str = "prod") -> None:
        """Set an alias, and release it until it is served."""
        self.name(version, alias)
        self.finish(alias)

    def finish(self, alias: str = "prod") -> None:
        """Release an alias until it is served, as the events of SageMaker let the releaser do."""
        for _ in range(5):
            outcome = self.release(alias).outcome
            if outcome != "staging":
                assert outcome in ("released", "unchanged")
                return
            self.sagemaker.finish()
        raise AssertionError("the endpoint does not come into service")

    def sweep(self, *, minutes: int = 0) -> None:
        """Let minutes pass, and let the schedule remove what is unused."""
        self.fake.time.seconds += 60 * minutes
        self.sagemaker.finish()
        self.sweep_now()

    def sweep_now(self) -> None:
        """Let the schedule remove what is unused, while SageMaker is as it is."""
        self.sweeper(600).run()

    def sweeper(self, seconds: float) -> EndpointSweep:
        """Return a sweep that may take this long."""
        return EndpointSweep(
            lambda_client=self.fake.client,
            clients=self.sagemaker.clients,
            registry=self.registry,
            deployments=self.registry.release_log.deployments(),
            releaser="acme_releaser",
            clock=self.fake.time.clock,
            deadline=self.fake.time.seconds + seconds,
            foreign=set(),
        )

    def remove_unused(self) -> None:
        """Let so much time pass that all that is unused is gone."""
        for _ in range(4):
            self.sweep(minutes=31)

    def endpoint(self, version: int) -> str:
        """Return the name of the newest endpoint of a model version; empty if there is none."""
        names = [it for it in self.sagemaker.models if self.sagemaker.pin(it) == pin(version)]
        return names[-1] if names else ""

    def shown_endpoint(self, alias: str = "prod") -> str:
        """Return the name of the endpoint that an alias serves from; empty if it has none."""
        return self.endpoint_of(self.fake.aliases[alias]["FunctionVersion"])

    def endpoint_of(self, number: str) -> str:
        """Return the name of the endpoint that a Lambda version names."""
        variables = self.fake.functions[number]["Environment"]["Variables"]
        return str(variables.get(ENDPOINT, ""))

    def _check(self, configuration: dict[str, Any]) -> dict[str, Any]:
        name = configuration["Environment"]["Variables"].get(ENDPOINT)
        if name and self.sagemaker.status(name) != "InService":
            return {"shearling": "check", "passed": False, "reason": f"{name} cannot be called"}
        return passing(configuration)
