"""`twistd twistproxy`: the command line, and the service that twistd runs."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any, NoReturn

from twisted.application.service import IService
from twisted.python import usage

from twistproxy import __version__
from twistproxy.errors import ConfigError, StartError
from twistproxy.model.server_options import ServerOptions
from twistproxy.process.configuration import load_configuration
from twistproxy.process.log_levels import LEVELS
from twistproxy.process.master import Master
from twistproxy.process.settings import ProcessSettings
from twistproxy.transport.addresses import own_address

_LEVEL_WORDS = {"warn": "warning"}


class Options(usage.Options):
    """What can be said on the command line.  `server_options()` is the result; all problems are told at
    once."""

    synopsis = "[options]"
    longdesc = (
        "Runs a proxy from Envoy's own configuration: v3 as YAML or JSON, or v1 JSON.  "
        "SIGHUP reloads it, SIGTERM finishes what is in flight and stops, SIGUSR1 reopens the logs."
    )

    optParameters = [
        ["config", "c", None, "The configuration file."],
        ["config-yaml", None, None, "Configuration text (YAML or JSON) that is merged over the file."],
        [
            "concurrency",
            None,
            None,
            "How many workers to run; as many as there are CPUs for us if not given.",
        ],
        ["mode", None, "serve", "'serve', or 'validate' to check the configuration and exit."],
        ["drain-time-s", None, "600", "Seconds that requests in flight may take when the proxy is to stop."],
        ["service-node", None, None, "The name of this instance (node.id), for logs and control planes."],
        ["service-cluster", None, None, "The name of the group it belongs to (node.cluster)."],
        ["service-zone", None, None, "The zone it runs in (node.locality.zone)."],
        [
            "run-dir",
            None,
            None,
            "Where the Unix sockets of our processes go; a fresh private directory if not given.",
        ],
        ["unsupported", None, "error", "What a set field that nothing implements is: 'error' or 'warn'."],
        ["log-level", "l", "info", "Lines below it are not logged: " + " ".join(LEVELS) + "."],
        [
            "file-flush-interval-msec",
            None,
            "1000",
            "Milliseconds after which lines of access logs are written at the latest.",
        ],
        [
            "worker-reactor",
            None,
            "twistproxy",
            "The workers' reactor: 'twistproxy' (libuv) or Twisted's 'epoll'.",
        ],
    ]

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        print(f"twistproxy {__version__}")
        raise SystemExit(0)

    def parseOptions(self, options: Any = None) -> None:
        """As Twisted's, but what is wrong goes to standard error without a page of help."""
        try:
            super().parseOptions(options)  # type: ignore[no-untyped-call]
        except usage.UsageError as e:
            _exit([str(e)])

    def parseArgs(self, *arguments: str) -> None:
        if arguments:
            raise usage.UsageError(f"unexpected argument {arguments[0]!r}")

    def server_options(self) -> ServerOptions:
        """The options, checked.  Ends the program with all problems if there are any."""
        problems: list[str] = []
        if not self["config"] and not self["config-yaml"]:
            problems.append("a configuration is needed: --config FILE, --config-yaml TEXT, or both")
        concurrency = self._number("concurrency", str(len(os.sched_getaffinity(0))), 1, problems)
        drain_time = self._number("drain-time-s", "", 0, problems)
        flush_interval = self._number("file-flush-interval-msec", "", 1, problems)
        for name, words in (
            ("mode", ("serve", "validate")),
            ("unsupported", ("error", "warn")),
            ("log-level", (*LEVELS, *_LEVEL_WORDS)),
            ("worker-reactor", ("twistproxy", "epoll")),
        ):
            if self[name] not in words:
                problems.append(f"--{name} {self[name]}: expected one of {', '.join(words)}")
        if problems:
            _exit(problems)
        config = self["config"]
        return ServerOptions(
            # twistd changes the directory when it daemonises, and a reload reads the file again.
            config_path=os.path.abspath(config) if config else "",
            config_yaml=self["config-yaml"] or "",
            concurrency=int(concurrency),
            mode=self["mode"],
            drain_time=drain_time,
            service_node=self["service-node"] or "",
            service_cluster=self["service-cluster"] or "",
            service_zone=self["service-zone"] or "",
            run_dir=os.path.abspath(self["run-dir"]) if self["run-dir"] else "",
            unsupported=self["unsupported"],
            log_level=_LEVEL_WORDS.get(self["log-level"], self["log-level"]),
            worker_reactor=self["worker-reactor"],
            log_flush_interval=flush_interval / 1000,
            local_address=own_address(),
        )

    def _number(self, name: str, default: str, least: int, problems: list[str]) -> int:
        text = self[name] or default
        if text.isascii() and text.isdigit() and int(text) >= least:
            return int(text)
        problems.append(f"--{name} {text}: expected a whole number, {least} or more")
        return least


def makeService(options: Options) -> IService:
    """Load the configuration, bind the listeners, and return the service.

    Here, and not when twistd starts the service, because twistd is still on the user's terminal: whatever
    keeps us from starting is said there, one line for each problem, and the exit status is 1.
    """
    from twisted.internet import reactor  # noqa: TID251 - twistd has installed it by now

    server_options = options.server_options()
    try:
        configuration = load_configuration(server_options)
    except ConfigError as e:
        _exit([str(problem) for problem in e.problems])
    if server_options.mode == "validate":
        print(f"configuration '{configuration.source}' OK")
        raise SystemExit(0)
    master = Master(reactor, process_settings(server_options), configuration, _fail_later)
    try:
        master.bind()
        # A run directory is its user's alone: with `twistd --uid` it has to wait until twistd is that user.
        if options.parent is None or options.parent.get("uid") is None:
            master.open_run_dir()
    except StartError as e:
        master.unbind()
        _exit([str(e)])
    return master  # type: ignore[return-value]


def process_settings(options: ServerOptions) -> ProcessSettings:
    """How the processes are run; tests put their own in its place."""
    return ProcessSettings(options)


def _exit(lines: list[str]) -> NoReturn:
    _print(lines)
    raise SystemExit(1)


def _print(lines: list[str]) -> None:
    for line in lines:
        print(f"twistproxy: {line}", file=sys.__stderr__, flush=True)


def _fail_later(lines: list[str]) -> None:
    """The program has started but cannot go on: say why, and let it end with status 1, after twistd's own
    end."""
    from twisted.internet import reactor  # noqa: TID251

    _print(lines)
    atexit.register(_exit_with_failure)
    running: Any = reactor
    running.stop()


def _exit_with_failure() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
