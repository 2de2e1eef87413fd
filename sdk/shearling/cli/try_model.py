"""Commands that try a model: open its page, serve it on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from shearling.cli.command import API_KEY_VARIABLE, TOKEN_VARIABLE, add_command
from shearling.cli.output import note, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shearling.cli.command import Commands
    from shearling.cli.proxy import Upstream


_LARGEST_PORT = 65535

#: Modules of the extra `server`.
_PRODUCTION = ("httptools", "prometheus_client", "uvloop")


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    command = add_command(
        commands,
        "open",
        _open,
        summary="open a model's page in the browser, to try the model",
        details="Browsers cannot sign IAM requests, so this command serves the page on this "
        "machine, for you only, and signs its requests with your credentials. For an API that "
        f"requires a token or a key, set {TOKEN_VARIABLE} or {API_KEY_VARIABLE}.",
        example="shearling open acme-fraud:prod\n"
        "shearling open https://abc.execute-api.eu-central-1.amazonaws.com --model fraud",
        registry=False,
    )
    command.add_argument(
        "target", metavar="TARGET", help="<function>:<alias>, or the URL of an API"
    )
    command.add_argument("--model", metavar="NAME", help="for a URL: name of the model")
    command.add_argument("--alias", metavar="ALIAS", help="for a URL: alias or version")
    command.add_argument(
        "--region", help="for a URL: sign requests for this region (AWS URLs contain their region)"
    )
    command.add_argument(
        "--no-browser", action="store_true", help="print the URL, and open no browser"
    )
    command = add_command(
        commands,
        "serve",
        _serve,
        summary="serve a version on this machine, as its function would",
        details="Runs the same runtime with the same API and page. Use it to try a version before "
        "you set an alias, or to develop a client. Only this machine can reach the server. With "
        "--production, it is the server of container images: others can reach it, without "
        "authentication, and it uses all processors.",
        example="shearling serve fraud:8\n"
        "shearling serve fraud:8 --production\n"
        "curl -d '{\"instances\": [[1, 2, 3]]}' http://127.0.0.1:8080/v2/models/fraud/infer",
    )
    command.add_argument(
        "ref", metavar="REF", help="fraud (the newest), fraud:8, fraud:prod, or a pin"
    )
    command.add_argument(
        "--port",
        type=_port,
        default=8080,
        help="port to listen on (default: %(default)s); 0 selects a free port",
    )
    command.add_argument(
        "--allow-host",
        action="append",
        default=[],
        type=_host_name,
        metavar="NAME",
        help="host name, besides those of loopback, that requests may be sent to and come from, "
        "such as that of a proxy; may be repeated",
    )
    command.add_argument(
        "--allow-pickle",
        action="store_true",
        help="allow a pickle, which runs its code when it is loaded; REF must be a pin",
    )
    command.add_argument(
        "--jobs",
        metavar="DIR",
        help="directory of asynchronous jobs, which keeps them when the server ends (default: a "
        "temporary one)",
    )
    command.add_argument(
        "--production",
        action="store_true",
        help="serve on all addresses, in a process for each processor, with /ping, /invocations "
        "and /metrics; needs the extra `server`",
    )
    command.add_argument(
        "--verbose",
        action="store_true",
        help="print the function's log lines with their metrics too, not only its errors",
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= _LARGEST_PORT):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a port, which is 0 to 65535")
    return int(text)


def _host_name(text: str) -> str:
    from shearling.loopback import host_name

    if not text or host_name(f"//{text}") != text.lower():
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a host name without a port")
    return text


def _open(arguments: argparse.Namespace) -> None:
    from shearling.cli.browser import open_in_browser
    from shearling.cli.proxy import serving
    from shearling.loopback import ended_by_signals, wait_for_a_signal

    upstream, page, connection = (_by_url if "://" in arguments.target else _by_alias)(arguments)
    with ended_by_signals(), serving(upstream, page, connection) as url, ExitStack() as stack:
        say(url)
        note("serving; press Ctrl-C to stop")
        try:
            if not arguments.no_browser:
                stack.enter_context(open_in_browser(url))
            wait_for_a_signal()
        except KeyboardInterrupt:
            note("")


def _serve(arguments: argparse.Namespace) -> None:
    if arguments.production:
        _check_production(arguments)
    from shearling.errors import FormatError
    from shearling.models.load import cache_directory
    from shearling.progress import progress
    from shearling.refs import Ref
    from shearling.registry.registry import Registry
    from shearling.storage.blobs import fetch_blobs

    source = Registry.existing(arguments.registry)
    ref = Ref.parse(arguments.ref)
    pin = source.resolve(ref)
    manifest = source.manifest(pin)
    if manifest.format == "cloudpickle" and not (arguments.allow_pickle and ref.digest):
        raise FormatError(
            f"{arguments.ref} is a pickle, which runs code when it is loaded. To allow it, run: "
            f"shearling serve {pin} --allow-pickle"
        )
    directory = cache_directory()
    with progress(f"fetch {arguments.ref}", manifest.size) as advance:
        source.fetch(manifest, directory, advance)
    # As the stager does, so that the runtime finds the verified bundle there and fetches nothing.
    fetch_blobs(source.store, [source.manifest_descriptor(pin)], directory)
    note(f"{pin}; press Ctrl-C to stop:")
    variables = {
        "SHEARLING_REGISTRY": source.store.uri,
        "SHEARLING_MODEL": str(pin),
        "SHEARLING_ALLOW_PICKLE": str(arguments.allow_pickle).lower(),
        "SHEARLING_MOUNT": str(directory.parents[1]),
        "SHEARLING_SCRATCH": str(directory.parents[2]),
        "AWS_LAMBDA_FUNCTION_NAME": pin.model,
    }
    local, production = ["shearling_runtime.local"], ["shearling_runtime.server", "serve"]
    server = production if arguments.production else local
    command = [sys.executable, "-m", *server, "--port", str(arguments.port)]
    if isinstance(ref.selector, str):
        command += ["--alias", ref.selector]
    for name in arguments.allow_host:
        command += ["--allow-host", name]
    if arguments.jobs:
        command += ["--jobs", arguments.jobs]
    if arguments.verbose:
        command.append("--verbose")
    sys.stdout.flush()
    sys.stderr.flush()
    # Replace this process instead of starting another, so that any signal ends the server too.
    os.execve(sys.executable, command, os.environ | variables)  # noqa: S606


def _check_production(arguments: argparse.Namespace) -> None:
    """Refuse options of the local server, and name the extra if its packages are missing."""
    from importlib.util import find_spec

    for option in ("--allow-host", "--jobs", "--verbose"):
        if getattr(arguments, option[2:].replace("-", "_")):
            arguments.refuse(f"{option} is not allowed with --production")
    missing = [name for name in _PRODUCTION if find_spec(name) is None]
    if missing:
        arguments.refuse(
            f"--production needs the packages {', '.join(missing)}. Install them with "
            "pip install 'shearling[server]'"
        )


def _by_alias(arguments: argparse.Namespace) -> tuple[Upstream, str, Mapping[str, str | None]]:
    from shearling.cli.proxy import LambdaUpstream
    from shearling.client.connect import connect
    from shearling.client.lambda_model import lambda_client

    if arguments.model or arguments.alias or arguments.region:
        arguments.refuse(
            "--model, --alias and --region are allowed only with a URL; name a function as "
            "<function>:<alias>"
        )
    region = arguments.target.split(":")[3] if arguments.target.startswith("arn:") else None
    client_of = arguments.lambda_client
    client = client_of(region) if client_of else lambda_client(region, target=arguments.target)
    # Requested first, so that the command reports a wrong target, not the browser.
    name = connect(arguments.target, client=client).metadata()["name"]
    alias = quote(arguments.target.rpartition(":")[2])
    page = f"/v2/models/{quote(name)}/versions/{alias}/docs"
    return LambdaUpstream(arguments.target, client), page, {"function": arguments.target}


def _by_url(arguments: argparse.Namespace) -> tuple[Upstream, str, Mapping[str, str | None]]:
    from shearling.cli.proxy import HttpUpstream
    from shearling.client.auth import Auth, Authorization
    from shearling.client.connect import connect

    parts = urlsplit(arguments.target)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        arguments.refuse(
            f"{arguments.target!r} is not the URL of an API; expected https://... without a query"
        )
    if not arguments.model:
        arguments.refuse("a URL requires --model, the name of the model")
    token, api_key = os.environ.get(TOKEN_VARIABLE), os.environ.get(API_KEY_VARIABLE)
    auth: Auth = "iam" if arguments.region else "auto"
    options = {"region": arguments.region, "token": token, "api_key": api_key}
    model = connect(
        arguments.target, model=arguments.model, alias=arguments.alias, auth=auth, **options
    )
    model.metadata()  # requested first, as above
    alias = f"/versions/{quote(arguments.alias)}" if arguments.alias else ""
    page = f"/v2/models/{quote(arguments.model)}{alias}/docs"
    api = arguments.target.rstrip("/")
    authorization = Authorization.choose(parts.hostname, auth, **options)
    connection = {"api": api, "region": authorization.signed_region}
    return HttpUpstream(api, authorization), page, connection
