"""All admin pages: their names, what /help and / say of them, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twistproxy.admin import pages
from twistproxy.admin.answer import Answer, Query
from twistproxy.admin.explain_page import explain_page
from twistproxy.admin.view import AdminView

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

#: Answers a request, now or later.  Raises PageError for a request that it refuses.
Handler = Callable[[AdminView, Query], "Answer | Deferred[Answer]"]


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter.

    choices  the values it can have, () for any text
    flag     it is given without a value
    """

    name: str
    help: str
    choices: tuple[str, ...] = ()
    flag: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One page.  `path` without its slash; `mutating` pages answer to POST only.  `form`: "+" in its query is a space, as
    browsers and curl write one."""

    path: str
    help: str
    handler: Handler
    params: tuple[Param, ...] = ()
    mutating: bool = False
    form: bool = False


_REGEX = "Regular expression (Google re2) for filtering"
_USED = Param("usedonly", "Only include stats that have been written by system since restart", flag=True)
_FILTER = Param("filter", f"{_REGEX} stats")
_INVERT = Param("invert_filter", "Invert the filter regex", flag=True)
_BUCKETS = "Histogram bucket display mode"

COMMANDS: tuple[Command, ...] = (
    Command("certs", "print certs on machine", pages.certs_page),
    Command(
        "clusters",
        "upstream cluster status",
        pages.clusters_page,
        (
            Param("filter", f"{_REGEX} clusters by name"),
            Param("format", "File format to use", ("text", "json")),
        ),
    ),
    Command(
        "config_dump",
        "dump current configs",
        pages.config_dump_page,
        (
            Param("resource", "The resource to dump"),
            Param(
                "mask",
                "The mask to apply. When both resource and mask are specified, the mask is applied to every"
                " element in the desired repeated field so that only a subset of fields are returned. The"
                " mask is parsed as a Protobuf::FieldMask",
            ),
            Param(
                "name_regex",
                "Dump only the currently loaded configurations whose names match the specified regex. Can be"
                " used with both resource and mask query parameters.",
            ),
            Param("include_eds", "Dump currently loaded configuration including EDS.", flag=True),
        ),
    ),
    Command("contention", "dump mutex contention stats (if enabled)", pages.contention_page),
    Command(
        "cpuprofiler",
        "enable/disable the CPU profiler",
        pages.cpu_profiler_page,
        (Param("enable", "enables the CPU profiler", ("y", "n")),),
        mutating=True,
    ),
    Command(
        "drain_listeners",
        "drain listeners",
        pages.drain_page,
        (
            Param(
                "graceful",
                "When draining listeners, enter a graceful drain period prior to closing listeners. Its"
                " duration is that of the option --drain-time-s",
                flag=True,
            ),
            Param(
                "skip_exit",
                "When draining listeners, drain the connections but never stop the listeners. The graceful"
                " parameter has no effect when this is set, since the drain period only delays stopping the"
                " listeners",
                flag=True,
            ),
            Param(
                "inboundonly",
                "Drains all inbound listeners: those whose traffic_direction is INBOUND.",
                flag=True,
            ),
        ),
        mutating=True,
    ),
    Command(
        "explain",
        "say what would happen to a request, and why",
        explain_page,
        (
            Param("path", "The path, or a whole URL"),
            Param("host", "The host, as in the Host header"),
            Param("method", "The method; GET if it is not given"),
            Param("header", "A header as name:value; may be given several times"),
            Param("listener", "The listener it comes to; the first one if it is not given"),
            Param("from", "The address it comes from; 127.0.0.1 if it is not given"),
            Param("format", "Format to use", ("text", "json")),
        ),
        form=True,
    ),
    Command("healthcheck/fail", "cause the server to fail health checks", pages.fail_page, mutating=True),
    Command("healthcheck/ok", "cause the server to pass health checks", pages.ok_page, mutating=True),
    Command(
        "heapprofiler",
        "enable/disable the heap profiler",
        pages.heap_profiler_page,
        (Param("enable", "enables the heap profiler", ("y", "n")),),
        mutating=True,
    ),
    Command("help", "print out list of admin commands", lambda view, query: Answer(help_text())),
    Command(
        "hot_restart_version",
        "print the hot restart compatibility version",
        lambda view, query: Answer("disabled"),
    ),
    Command(
        "init_dump",
        "say what the start waits for",
        pages.init_dump_page,
        (Param("mask", "The desired component to dump unready targets of; there is only: workers"),),
    ),
    Command(
        "listeners",
        "print listener info",
        pages.listeners_page,
        (Param("format", "File format to use", ("text", "json")),),
    ),
    Command(
        "logging",
        "query/change logging levels",
        pages.logging_command,
        (
            Param(
                "paths",
                "Change multiple logging levels by setting to"
                " <logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>.",
            ),
            Param(
                "level",
                "desired logging level, this will change all loggers's level",
                ("", "trace", "debug", "info", "warning", "error", "critical", "off"),
            ),
        ),
        mutating=True,
    ),
    Command("memory", "print current allocation/heap usage", pages.memory_page),
    Command("quitquitquit", "exit the server", pages.quit_page, mutating=True),
    Command("ready", "print server state, return 200 if LIVE, otherwise return 503", pages.ready_page),
    Command("reopen_logs", "reopen access logs", pages.reopen_page, mutating=True),
    Command("reset_counters", "reset all counters to zero", pages.reset_page, mutating=True),
    Command("runtime", "print runtime values", pages.runtime_command),
    Command(
        "runtime_modify",
        "Adds or modifies runtime values as passed in query parameters. To delete a previously added key, use an"
        " empty string as the value. Note that deletion only applies to overrides added via this endpoint; values"
        " loaded from disk can be modified via override but not deleted. E.g. ?key1=value1&key2=value2...",
        pages.runtime_modify_command,
        mutating=True,
    ),
    Command("server_info", "print server version/status information", pages.server_info_page),
    Command(
        "stats",
        "print server stats",
        pages.stats_page,
        (
            _USED,
            _FILTER,
            _INVERT,
            Param("format", "Format to use", ("html", "active-html", "text", "json", "prometheus")),
            Param(
                "type", "Stat types to include.", ("All", "Counters", "Histograms", "Gauges", "TextReadouts")
            ),
            Param("histogram_buckets", _BUCKETS, ("cumulative", "disjoint", "detailed", "summary")),
        ),
    ),
    Command(
        "stats/prometheus",
        "print server stats in prometheus format",
        pages.prometheus_page,
        (
            _USED,
            Param(
                "text_readouts",
                "Render text_readouts as new gaugues with value 0 (increases Prometheus data size)",
                flag=True,
            ),
            _FILTER,
            _INVERT,
            Param("histogram_buckets", _BUCKETS, ("cumulative", "summary")),
        ),
    ),
)

#: path -> command
BY_PATH = {command.path: command for command in COMMANDS}


def help_text() -> str:
    """The list of all commands with their parameters."""
    lines = ["admin commands are:\n", "  /: Admin home page\n"]
    for command in COMMANDS:
        lines.append(f"  /{command.path}{' (POST)' if command.mutating else ''}: {command.help}\n")
        for param in command.params:
            choices = f"; One of ({', '.join(param.choices)})" if param.choices else ""
            lines.append(f"      {param.name}: {param.help}{choices}\n")
    return "".join(lines)
