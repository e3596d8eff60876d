"""``fastnn serve``."""

from __future__ import annotations

import argparse
import ipaddress
from functools import partial
from pathlib import Path
from typing import Any

from fastnn._output import aligned
from fastnn.cli.models import add_registry
from fastnn.cli.output import say
from fastnn.cli.parser import Parser, add_config, whole

SERVE = """\
Serves saved models by the Open Inference Protocol v2 (KServe, Triton), over HTTP.

MODEL is a file, a folder of NAME.fastnn or NAME/VERSION.fastnn, models:/NAME@ALIAS of
MLflow, URL#NAME@ALIAS of a registry in a database, NAME@ALIAS with --registry, or zoo:NAME.
other=MODEL serves it as "other". It ends with SIGTERM, when all that came is answered.

A page to look at them, and to try rows, is at /.

It needs Starlette and uvicorn: pip install "fastnn[serve]"
"""

SERVE_EXAMPLE = """\
examples:
  fastnn serve model.fastnn --port 8000
  fastnn serve churn@production --registry sqlite:///shop.db --watch 5 --workers 4
  fastnn serve models/ --alias churn@default=1:90,2:10 --shadow churn@default=3
"""


def add_to(commands: Any) -> None:
    """Add the command to the others."""
    serve = commands.add_parser("serve", description=SERVE, epilog=SERVE_EXAMPLE)
    serve.set_defaults(run=run)
    serve.add_argument("models", metavar="MODEL", nargs="*", help="what is served")
    add_registry(serve)
    serve.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (%(default)s)")
    serve.add_argument("--port", metavar="N", type=whole(0), default=8000, help="0 for any that is free (%(default)s)")
    serve.add_argument("--workers", metavar="N", type=whole(1), default=1, help="processes, one map of the weights (1)")
    serve.add_argument(
        "--watch", metavar="SECONDS", type=float, help="look so often for new versions; by default never"
    )
    serve.add_argument(
        "--alias", metavar="NAME@ALIAS=V", action="append", default=[],
        help="a name for a version, or for two by shares: 1:90,2:10; default is what requests without one have",
    )  # fmt: skip
    serve.add_argument(
        "--shadow", metavar="NAME@ALIAS=V", action="append", default=[],
        help="a version that is tried on the requests of an alias, too, and only logged",
    )  # fmt: skip
    serve.add_argument("--token-file", metavar="FILE", type=Path, help="the bearer token that requests must bring")
    serve.add_argument("--tls-cert", metavar="FILE", help="a certificate, PEM")
    serve.add_argument("--tls-key", metavar="FILE", help="and its key")
    serve.add_argument("--grpc-port", metavar="N", type=whole(0), help="the same protocol over gRPC; by default not")
    serve.add_argument("--graphql", action="store_true", help="answer at /graphql, too")
    serve.add_argument(
        "--predictions", metavar="DATABASE", help="keep the answers there, in the table fastnn_predictions"
    )
    serve.add_argument(
        "--key", metavar="NAME", default="row_key", help="its column for the requests' keys (%(default)s)"
    )
    serve.add_argument("--truth", metavar="SQL", help="with --predictions: what was true, by that key; for /metrics")
    serve.add_argument("--cors", metavar="ORIGIN", action="append", default=[], help="a site whose pages may ask")
    serve.add_argument("--allow-host", metavar="NAME", action="append", default=[], help="a name that the server has")
    serve.add_argument(
        "--max-body", metavar="BYTES", type=whole(1), default=16 * 2**20, help="of a request's body (%(default)s)"
    )
    serve.add_argument(
        "--timeout", metavar="SECONDS", type=float, default=30.0, help="of a request, whole (%(default)s)"
    )
    serve.add_argument(
        "--log",
        choices=("requests", "events", "errors"),
        default="events",
        help="lines of JSON on stderr (%(default)s)",
    )
    add_config(serve)


def run(options: argparse.Namespace, parser: Parser) -> None:
    """Serve."""
    from fastnn.serve import running

    registry = options.registry
    if not options.models and registry is None:
        parser.need(options, models="MODEL or --registry")
    places = options.models if registry is None else [f"{registry}#{name}" for name in options.models or [""]]
    if (options.tls_cert is None) != (options.tls_key is None):
        parser.error("--tls-cert and --tls-key go together; give both")
    token = None
    if options.token_file is not None:
        token = options.token_file.read_text(encoding="utf-8").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise ValueError(f"{options.token_file} must hold a token, a line of ASCII characters")
    hosts = list(options.allow_host)
    if _is_loopback(options.host):
        hosts += ["localhost", "127.0.0.1", "[::1]", options.host]
    elif token is None:
        say(f"all who reach {options.host} may ask, as there is no --token-file")
    application = {
        "token": token,
        "max_body": options.max_body,
        "timeout": options.timeout,
        "cors": tuple(options.cors),
        "hosts": tuple(hosts),
        "hooks": (),
        "routes": (),
        "watch": options.watch,
    }
    if options.truth is not None:
        parser.need(options, predictions="--predictions")
    tls = None if options.tls_cert is None else (options.tls_cert, options.tls_key)
    told = running.Options(places, _aliases(options, parser), application, options.log, setup=_beside(options, tls))
    running.run(told, options.host, options.port, options.workers, tls, _begun)


def _beside(options: argparse.Namespace, tls: tuple[str, str] | None) -> list[Any]:
    """What answers beside the protocol of HTTP, and what watches; it is made in each process."""
    from fastnn.serve import observe

    found: list[Any] = [partial(observe, database=options.predictions, key=options.key, truth=options.truth)]
    if options.graphql:
        from fastnn.serve import graphql

        found.append(graphql.beside)
    if options.grpc_port is not None:
        from fastnn.serve import grpc

        address = {"host": options.host, "port": options.grpc_port, "tls": tls, "shared": options.workers > 1}
        found.append(partial(grpc.beside, **address))
    return found


def _begun(models: Any, url: str) -> None:
    rows = [("name", "version", "reads")]
    for each in models.served():
        reads = ", ".join(f"{tensor.name} {tensor.datatype} {[-1, *tensor.shape]}" for tensor in each.inputs[:4])
        rows.append((each.name, each.version, reads + (", ..." if len(each.inputs) > 4 else "")))
    print(aligned([[text if text.isprintable() else repr(text) for text in row] for row in rows]))
    print(f"{url}/v2", flush=True)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _aliases(options: argparse.Namespace, parser: Parser) -> list[tuple[str, str, Any, str | None]]:
    """What --alias and --shadow say, as ``Models.alias`` takes it."""

    def split(option: str, text: str) -> tuple[str, str, str]:
        whole, _, value = text.rpartition("=")
        name, _, alias = whole.rpartition("@")
        if not name or not alias or not value:
            parser.error(f"argument --{option}: expected NAME@ALIAS=VERSION, got {text!r}")
        return name, alias, value

    shadows = {(name, alias): value for name, alias, value in (split("shadow", each) for each in options.shadow)}
    found = []
    for name, alias, value in (split("alias", each) for each in options.alias):
        versions: Any = value
        if ":" in value:
            try:
                versions = {v: float(share) for v, _, share in (each.rpartition(":") for each in value.split(","))}
            except ValueError:
                parser.error(f"argument --alias: expected shares as in 1:90,2:10, got {value!r}")
        found.append((name, alias, versions, shadows.pop((name, alias), None)))
    for name, alias in shadows:
        parser.error(f"argument --shadow: {name}@{alias} is no --alias; say what is answered, too")
    return found
