"""The console script `twistproxy`: the proxy in the foreground, and tools around it.

Each command imports what it needs when it is run: `check` is not to wait for the data plane.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twistproxy import __version__
from twistproxy.errors import ConfigError, StartError
from twistproxy.model.server_options import ServerOptions

_EPILOG = "'twistproxy run' takes the options of 'twistd twistproxy'; 'twistproxy run --help' lists them."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"]:
        return _twistd("twistproxy", words[1:])
    if words[:1] == ["sds"]:
        return _sds(words[1:])
    if words[:1] == ["demo"]:
        return _demo(words[1:])
    parsed = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = parsed.command
    return command(parsed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="twistproxy", epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"twistproxy {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    # These read their own options, in `main`; they are here for the list of commands.
    commands.add_parser("run", help="run the proxy in the foreground")
    check = commands.add_parser(
        "check", help="check a configuration and say everything that is wrong with it"
    )
    check.add_argument("file", metavar="FILE")
    check.add_argument("--unsupported", choices=("error", "warn"), default="error")
    check.set_defaults(command=_check)
    convert = commands.add_parser("convert", help="translate Envoy's v1 JSON to v3 YAML on standard output")
    convert.add_argument("file", metavar="FILE")
    convert.set_defaults(command=_convert)
    explain = commands.add_parser("explain", help="say what a configuration does with a request, and why")
    explain.add_argument("--config", required=True, metavar="FILE")
    explain.add_argument("--unsupported", choices=("error", "warn"), default="error")
    explain.add_argument("-X", "--method", default="GET")
    explain.add_argument(
        "-H", "--header", action="append", default=[], metavar="NAME:VALUE", help="may be given several times"
    )
    explain.add_argument("--host", default="", help="the Host header, unless a whole URL is given")
    explain.add_argument("--listener", default="", help="its name; the first one if it is not given")
    explain.add_argument("--from", dest="source", default="127.0.0.1", metavar="ADDRESS")
    explain.add_argument("--format", choices=("text", "json"), default="text")
    explain.add_argument("path", help="the path, or a whole URL")
    explain.set_defaults(command=_explain)
    commands.add_parser(
        "demo", help="show a registry, services, sidecars and an edge at work on this machine"
    )
    commands.add_parser(
        "sds", help="serve Kubernetes endpoints, or a file of services, over the v1 SDS REST API"
    )
    return parser


def _check(parsed: argparse.Namespace) -> int:
    from twistproxy.process.configuration import load_configuration

    try:
        loaded = load_configuration(ServerOptions(config_path=parsed.file, unsupported=parsed.unsupported))
    except ConfigError as e:
        return _refuse(e)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"configuration '{parsed.file}' OK")
    return 0


def _explain(parsed: argparse.Namespace) -> int:
    """What `/explain` of the admin pages says, of a configuration that does not run."""
    from twistproxy.admin.answer import PageError, Query
    from twistproxy.admin.explain_page import explanation_text, question
    from twistproxy.process.offline import explain_offline

    pairs = [("path", parsed.path), ("host", parsed.host), ("method", parsed.method)]
    pairs += [("listener", parsed.listener), ("from", parsed.source)]
    pairs += [("header", line) for line in parsed.header]
    try:
        explanation = explain_offline(
            ServerOptions(config_path=parsed.config, unsupported=parsed.unsupported), question(Query(pairs))
        )
    except ConfigError as e:
        return _refuse(e)
    except PageError as e:
        print(e.answer.body, end="", file=sys.stderr)
        return 2
    if parsed.format == "json":
        print(json.dumps(explanation, indent=1, ensure_ascii=False))
    else:
        sys.stdout.write(explanation_text(explanation))
    return 1 if "error" in explanation else 0


def _convert(parsed: argparse.Namespace) -> int:
    """v3 YAML to standard output; what means something else in v3 to standard error."""
    from twistproxy.config.v1 import convert_v1

    try:
        with open(parsed.file, encoding="utf-8") as file:
            text = file.read()
        converted, differences = convert_v1(text, parsed.file)
    except ConfigError as e:
        return _refuse(e)
    except OSError as e:
        print(f"{parsed.file}: {e.strerror}", file=sys.stderr)
        return 1
    for difference in differences:
        print(difference, file=sys.stderr)
    sys.stdout.write(converted)
    return 0


def _refuse(error: ConfigError) -> int:
    for problem in error.problems:
        print(problem, file=sys.stderr)
    return 1


def _twistd(plugin: str, words: list[str]) -> int:
    """Become `twistd -n` with our plugin, in this very process: signals and exit status are twistd's."""
    from twisted.scripts import twistd

    sys.argv = [os.path.basename(sys.argv[0]), "-n", "--pidfile=", plugin, *words]
    twistd.run()
    return 0


def _sds(words: list[str]) -> int:
    """The SDS server in the foreground; its log goes to standard error."""
    from twisted.application import app, service
    from twisted.internet import reactor  # noqa: TID251 - this is the program's entry
    from twisted.logger import globalLogBeginner, textFileLogObserver
    from twisted.python import usage

    from twistproxy.discovery.sds_server import SdsOptions, make_sds_service

    options: Any = SdsOptions()  # type: ignore[no-untyped-call]
    application: Any = service.Application("twistproxy-sds")
    try:
        options.parseOptions(words)
        made: Any = make_sds_service(reactor, options)
        made.setServiceParent(application)
        made.privilegedStartService()
        app.startApplication(application, False)
    except (usage.UsageError, StartError) as e:
        print(f"twistproxy sds: {e}", file=sys.stderr)
        return 1
    observer: Any = textFileLogObserver(sys.stderr)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    running: Any = reactor
    running.run()
    return 0


def _demo(words: list[str]) -> int:
    from twistproxy.demo.command import main as run_demo

    return run_demo(words)
