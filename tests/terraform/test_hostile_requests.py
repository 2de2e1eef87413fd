"""What every policy of a stack says to requests that somebody hostile would try.

`test_policies.py` does the same for what may be written to the registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.embedded_aws import REGION
from tests.support.iam import allows, denies, statements
from tests.support.plans import planned

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ACCOUNT = "000000000000"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/"
BUCKET = f"arn:aws:s3:::acme-{ACCOUNT}-{REGION}"

#: The functions of the stack, and which of them serve models.
MODELS = ("acme-embed", "acme-fraud", "acme-ranker", "acme-scorer")
FUNCTIONS = (*MODELS, "acme_index", "acme_planner", "acme_releaser", "acme_stager")


def handed_out(plan: dict[str, Any]) -> dict[str, Any]:
    """The policies among the outputs, as far as they are known before the first apply."""
    policies: dict[str, Any] = plan["output_changes"]["policies"]["after"]
    return policies


def flat(policies: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, policy in policies.items():
        if isinstance(policy, dict):
            yield from flat(policy, f"{prefix}{name} ")
        elif policy is not None:
            yield f"{prefix}{name}", policy


def stages(plan: dict[str, Any]) -> list[str]:
    """The ARNs of the stages of both APIs."""
    [http] = planned(plan, "aws_apigatewayv2_api").values()
    [rest] = planned(plan, "aws_api_gateway_rest_api").values()
    return [f"{http['execution_arn']}/$default", f"{rest['execution_arn']}/live"]


def may_call(plan: dict[str, Any], target: str, request: str) -> set[bool]:
    policy = handed_out(plan)["invoke"][target]
    return {allows(policy, "execute-api:Invoke", f"{stage}/{request}") for stage in stages(plan)}


@pytest.mark.parametrize(
    "request_",
    [
        "GET/v2/models/fraud",
        "HEAD/v2/models/fraud/docs",
        "GET/v2/models/fraud/openapi.json",
        "GET/v2/models/fraud/ready",
        "POST/v2/models/fraud/infer",
        "GET/v2/models/fraud/versions/prod",
        "GET/v2/models/fraud/versions/prod/ready",
        "POST/v2/models/fraud/versions/prod/infer",
    ],
)
def test_who_may_invoke_the_default_alias_calls_it_with_and_without_a_version(
    everything: dict[str, Any], request_: str
) -> None:
    assert may_call(everything, "fraud:prod", request_) == {True}


@pytest.mark.parametrize("target", ["fraud:prod", "fraud:staging"])
@pytest.mark.parametrize(
    "request_",
    [
        # Below another model, ending as an allowed path does.
        "POST/v2/models/embed/x/v2/models/fraud/infer",
        "POST/v2/models/embed/infer/v2/models/fraud/versions/prod/infer",
        "POST/v2/models/embed/x/v2/models/fraud/versions/staging/infer",
        "GET/v2/models/embed/v2/models/fraud",
        "POST/v2/repository/index/v2/models/fraud/infer",
        "POST/v2/models/embed/infer",
        "POST/v2/models/fraud-2/infer",
        "POST/v2/models/fraud/versions/7/infer",
        "POST/v2/models/fraud/versions/production/infer",
        "POST/v2/models/fraud/versions/prod-2/infer",
        "POST/v2/models/fraud/versions//infer",
        "POST/v2/models//fraud/infer",
        "POST//v2/models/fraud/infer",
        "POST/v2/models/fraud",
        "POST/v2/models/fraud/ready/infer",
        "DELETE/v2/models/fraud/versions/prod/infer",
        "*/v2/models/fraud/infer",
        "POST/",
        "",
    ],
)
def test_who_may_invoke_an_alias_calls_no_other_path(
    everything: dict[str, Any], target: str, request_: str
) -> None:
    assert may_call(everything, target, request_) == {False}


def test_who_may_invoke_one_alias_calls_no_other_alias(everything: dict[str, Any]) -> None:
    for target in ("fraud:prod", "fraud:staging"):
        other = {"prod": "staging", "staging": "prod"}[target.removeprefix("fraud:")]
        for path in ("infer", "ready", "x/versions/prod"):
            request = f"POST/v2/models/fraud/versions/{other}/{path}"
            assert may_call(everything, target, request) == {False}
    assert may_call(everything, "fraud:staging", "POST/v2/models/fraud/infer") == {False}


def test_who_may_invoke_an_alias_invokes_no_other_function_version_or_alias(
    everything: dict[str, Any],
) -> None:
    for target, policy in handed_out(everything)["invoke"].items():
        model, alias = target.split(":")
        own = f"{FUNCTION}acme-{model}:{alias}"
        assert allows(policy, "lambda:InvokeFunction", own)
        others = [f"{FUNCTION}acme-{model}", f"{FUNCTION}acme-{model}:1", f"{own}:1", f"{own}x"]
        others += [f"{FUNCTION}{name}{suffix}" for name in FUNCTIONS for suffix in ("", ":$LATEST")]
        others += [
            f"{FUNCTION}acme-{other}"
            for other in handed_out(everything)["invoke"]
            if other != target
        ]
        assert [arn for arn in others if allows(policy, "lambda:InvokeFunction", arn)] == []


@pytest.mark.parametrize(
    "request_",
    [
        "GET/v2/models/fraud",
        "POST/v2/models/fraud/infer",
        "GET/v2/models/fraud/v2",
        "POST/v2/models/fraud/v2/repository/index",
        "GET/v2/health/live/x",
        "DELETE/v2",
        "",
    ],
)
def test_who_may_list_models_calls_none(everything: dict[str, Any], request_: str) -> None:
    policy = handed_out(everything)["index"]
    for stage in stages(everything):
        assert not allows(policy, "execute-api:Invoke", f"{stage}/{request_}")
        assert allows(policy, "execute-api:Invoke", f"{stage}/POST/v2/repository/index")


def test_who_may_release_or_prune_invokes_that_function_alone(everything: dict[str, Any]) -> None:
    for name, own in (("release", "acme_releaser"), ("prune", "acme_stager")):
        policy = handed_out(everything)[name]
        invoked = [
            f"{function}{suffix}"
            for function in FUNCTIONS
            for suffix in ("", ":1", ":prod", "x")
            if allows(policy, "lambda:InvokeFunction", f"{FUNCTION}{function}{suffix}")
        ]
        assert invoked == [own]


@pytest.mark.parametrize(
    "action",
    [
        "iam:PassRole",
        "iam:PutRolePolicy",
        "kms:PutKeyPolicy",
        "kms:ScheduleKeyDeletion",
        "lambda:AddPermission",
        "lambda:CreateFunction",
        "lambda:UpdateFunctionCode",
        "s3:DeleteObject",
        "s3:PutBucketPolicy",
        "secretsmanager:GetSecretValue",
        "sqs:ReceiveMessage",
        "sts:AssumeRole",
    ],
)
def test_no_policy_allows_what_nobody_needs(everything: dict[str, Any], action: str) -> None:
    arns = ["*", BUCKET, f"{BUCKET}/blobs/x", f"{KEY}registry", f"{KEY}environment"]
    arns += [f"{FUNCTION}{name}{suffix}" for name in FUNCTIONS for suffix in ("", ":1", ":prod")]
    arns += [
        f"arn:aws:iam::{ACCOUNT}:role/x",
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:acme_releaser_failures",
    ]
    context = {"kms:viaservice": f"s3.{REGION}.amazonaws.com", "s3:prefix": "blobs/x"}
    for name, policy in flat(handed_out(everything)):
        assert [arn for arn in arns if allows(policy, action, arn, context)] == [], name


def test_every_right_to_a_key_is_a_right_through_one_service(everything: dict[str, Any]) -> None:
    seen = set()
    for name, policy in flat(handed_out(everything)):
        for statement in statements(policy):
            if not any(action.startswith("kms:") for action in statement["Action"]):
                continue
            service = statement["Condition"]["StringLike"]["kms:ViaService"].split(".")[0]
            seen.add(service)
            for action in statement["Action"]:
                for key in statement["Resource"]:
                    context = {"kms:grantisforawsresource": "true"}
                    assert not allows(policy, action, key, context), name
                    other = {**context, "kms:viaservice": f"secretsmanager.{REGION}.amazonaws.com"}
                    assert not allows(policy, action, key, other), name
                    own = {**context, "kms:viaservice": f"{service}.{REGION}.amazonaws.com"}
                    assert allows(policy, action, key, own), name
    assert seen == {"lambda", "s3", "sqs"}


def test_the_releaser_lets_lambda_alone_use_the_key_of_the_variables(
    everything: dict[str, Any],
) -> None:
    policy = handed_out(everything)["roles"]["acme_releaser"]
    via = {"kms:viaservice": f"lambda.{REGION}.amazonaws.com"}
    assert not allows(policy, "kms:CreateGrant", f"{KEY}environment", via)
    forged = {**via, "kms:grantisforawsresource": "false"}
    assert not allows(policy, "kms:CreateGrant", f"{KEY}environment", forged)


def test_functions_read_their_part_of_the_registry_and_no_other_bucket(
    everything: dict[str, Any],
) -> None:
    folders = {
        **{name: {"blobs"} for name in (*MODELS, "acme_stager")},
        "acme_index": {"deployments"},
        "acme_planner": {"models", "deployments"},
        "acme_batch": set(),
        "acme_releaser": {"blobs", "models", "releases", "deployments"},
    }
    for name, policy in handed_out(everything)["roles"].items():
        read = {
            folder
            for folder in ("blobs", "models", "releases", "deployments", "packages", "x")
            if allows(policy, "s3:GetObject", f"{BUCKET}/{folder}/x")
        }
        assert read == folders[name], name
        assert not allows(policy, "s3:GetObject", f"{BUCKET}-2/blobs/x"), name
        for prefix in ("", "packages/", "x"):
            assert not allows(policy, "s3:ListBucket", BUCKET, {"s3:prefix": prefix}), name
        assert not allows(policy, "s3:ListBucket", BUCKET), name


def test_the_releaser_changes_its_functions_and_deletes_only_versions(
    everything: dict[str, Any],
) -> None:
    policy = handed_out(everything)["roles"]["acme_releaser"]
    for model in MODELS:
        assert allows(policy, "lambda:UpdateAlias", f"{FUNCTION}{model}:prod")
        assert not allows(policy, "lambda:DeleteFunction", f"{FUNCTION}{model}")
    for other in (
        "acme-other",
        "acme-fraud-2",
        "acme_index",
        "acme_releaser",
        "acme_stager",
        "acme-",
    ):
        for action in ("lambda:UpdateAlias", "lambda:DeleteFunction", "lambda:PublishVersion"):
            for suffix in ("", ":1"):
                assert not allows(policy, action, f"{FUNCTION}{other}{suffix}")


def test_functions_of_a_stack_invoke_what_they_need_and_no_function_else(
    everything: dict[str, Any],
) -> None:
    invoked = {
        name: [
            function
            for function in FUNCTIONS
            if allows(policy, "lambda:InvokeFunction", f"{FUNCTION}{function}")
        ]
        for name, policy in handed_out(everything)["roles"].items()
    }
    assert invoked == {
        **{name: [] for name in (*MODELS, "acme_index")},
        "acme_releaser": ["acme_stager"],
        "acme_stager": ["acme_releaser"],
        "acme_planner": ["acme_releaser"],
        "acme_batch": ["acme_planner"],
    }


def test_the_state_machine_invokes_versions_of_the_models_of_its_runs_alone(
    everything: dict[str, Any],
) -> None:
    policy = handed_out(everything)["roles"]["acme_batch"]
    invoked = [
        model for model in MODELS if allows(policy, "lambda:InvokeFunction", f"{FUNCTION}{model}:7")
    ]
    assert invoked == ["acme-fraud"]


def test_runs_read_their_sources_and_write_their_outputs_alone(everything: dict[str, Any]) -> None:
    roles = handed_out(everything)["roles"]
    lake, scores = "arn:aws:s3:::lake", "arn:aws:s3:::scores/runs/7"
    data = [f"{lake}/2026/a.csv", f"{lake}/2025/a.csv", f"{scores}/a.csv", f"{BUCKET}/models/x"]
    own = [f"{scores}/_run/plan.jsonl", f"{scores}/_manifest.json", f"{scores}/_SUCCESS"]
    read, written = ("s3:GetObject", data), ("s3:PutObject", [*data, *own])
    for name, (action, arns), expected in (
        ("acme-fraud", read, [data[0], data[2]]),
        ("acme-fraud", written, [data[2], *own]),
        ("acme-embed", read, []),
        ("acme-embed", written, []),
        ("acme_planner", read, [data[0], data[2], data[3]]),
        ("acme_planner", written, own),
        ("acme_batch", read, []),
        ("acme_batch", written, own[:1]),
    ):
        assert [arn for arn in arns if allows(roles[name], action, arn)] == expected, name


def test_who_may_start_runs_reads_outputs_and_invokes_nothing(everything: dict[str, Any]) -> None:
    policy = handed_out(everything)["batch"]
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:acme_batch"
    assert allows(policy, "states:StartExecution", machine)
    assert not allows(policy, "states:StartExecution", f"{machine}x")
    assert not allows(policy, "states:UpdateStateMachine", machine)
    assert allows(policy, "s3:GetObject", "arn:aws:s3:::scores/runs/7/a.csv")
    for action in ("s3:PutObject", "s3:DeleteObject"):
        assert not allows(policy, action, "arn:aws:s3:::scores/runs/7/a.csv")
    assert not allows(policy, "s3:GetObject", "arn:aws:s3:::lake/2026/a.csv")
    for name in FUNCTIONS:
        assert not allows(policy, "lambda:InvokeFunction", f"{FUNCTION}{name}:1")


def test_only_the_stager_may_write_to_the_file_system(everything: dict[str, Any]) -> None:
    [file_system] = planned(everything, "aws_efs_file_system").values()
    [access_point] = planned(everything, "aws_efs_access_point").values()
    context = {"elasticfilesystem:accesspointarn": access_point["arn"]}
    write, mount = "elasticfilesystem:ClientWrite", "elasticfilesystem:ClientMount"
    for name, policy in handed_out(everything)["roles"].items():
        mounts = name in ("acme-embed", "acme_stager")
        assert allows(policy, mount, file_system["arn"], context) is mounts, name
        assert allows(policy, write, file_system["arn"], context) is (name == "acme_stager"), name
        assert not allows(policy, mount, file_system["arn"]), name


def test_the_file_system_refuses_other_writers_and_clients_without_its_access_point(
    everything: dict[str, Any],
) -> None:
    [file_system] = planned(everything, "aws_efs_file_system").values()
    [access_point] = planned(everything, "aws_efs_access_point").values()
    [attached] = planned(everything, "aws_efs_file_system_policy").values()
    policy, arn = attached["policy"], file_system["arn"]
    [stager] = [
        role["arn"]
        for address, role in planned(everything, "aws_iam_role").items()
        if ".stager." in address
    ]
    good = {
        "aws:securetransport": "true",
        "aws:principalarn": stager,
        "elasticfilesystem:accesspointarn": access_point["arn"],
    }
    write, mount = "elasticfilesystem:ClientWrite", "elasticfilesystem:ClientMount"
    assert not denies(policy, write, arn, good)
    assert denies(policy, write, arn, {**good, "aws:principalarn": f"{stager}x"})
    assert denies(policy, write, arn, {**good, "aws:principalarn": f"arn:aws:iam::{ACCOUNT}:root"})
    assert denies(policy, mount, arn, {**good, "aws:securetransport": "false"})
    assert denies(policy, mount, arn, {"aws:securetransport": "true"})


def test_each_role_is_taken_on_by_the_service_that_runs_with_it_alone(
    everything: dict[str, Any],
) -> None:
    roles = {
        address: role["assume_role_policy"]
        for address, role in planned(everything, "aws_iam_role").items()
        if address.startswith("module.inference.")
    }
    # The ranker's was given; the state machine has one.
    assert len(roles) == len(FUNCTIONS)
    own = {"aws:sourceaccount": ACCOUNT, "aws:sourcearn": f"arn:aws:states:{REGION}:{ACCOUNT}:x"}
    for address, trust in roles.items():
        service = "states" if ".batch[0].aws_iam_role.batch" in address else "lambda"
        takes = [
            other
            for other in ("ec2", "lambda", "states")
            if allows(trust, "sts:AssumeRole", "*", own, principal=f"{other}.amazonaws.com")
        ]
        assert takes == [service], address
        for other in (f"arn:aws:iam::{ACCOUNT}:root", "999999999999"):
            assert not allows(trust, "sts:AssumeRole", "*", own, principal=other), address


def test_the_state_machine_of_another_account_does_not_take_the_role_on(
    everything: dict[str, Any],
) -> None:
    [trust] = [
        role["assume_role_policy"]
        for address, role in planned(everything, "aws_iam_role").items()
        if ".batch[0].aws_iam_role.batch" in address
    ]
    other = {"aws:sourceaccount": "9", "aws:sourcearn": f"arn:aws:states:{REGION}:9:x"}
    assert not allows(trust, "sts:AssumeRole", "*", other, principal="states.amazonaws.com")


def test_the_dead_letter_queue_takes_messages_of_the_releasers_rules_alone(
    everything: dict[str, Any],
) -> None:
    [queue] = planned(everything, "aws_sqs_queue").values()
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:acme_releaser_failures"
    rules = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/"

    def takes(
        rule: str, action: str = "sqs:SendMessage", who: str = "events.amazonaws.com"
    ) -> bool:
        return allows(queue["policy"], action, arn, {"aws:sourcearn": rule}, principal=who)

    assert takes(f"{rules}acme_releaser-fraud")
    assert not takes(f"{rules}other-fraud")
    assert not takes(f"arn:aws:events:{REGION}:999999999999:rule/acme_releaser-fraud")
    assert not takes(f"{rules}acme_releaser-fraud", action="sqs:ReceiveMessage")
    assert not takes(f"{rules}acme_releaser-fraud", who="sns.amazonaws.com")
    assert not allows(queue["policy"], "sqs:SendMessage", arn, principal="events.amazonaws.com")
