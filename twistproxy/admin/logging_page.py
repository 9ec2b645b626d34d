"""POST /logging: show and change the log levels.

    ?level=LEVEL                   all loggers
    ?NAME=LEVEL                    one
    ?paths=NAME:LEVEL,NAME:LEVEL   several

An empty level only shows.
"""

from __future__ import annotations

from twistproxy.admin.answer import Answer, Query
from twistproxy.admin.view import AdminView

LEVELS = ("trace", "debug", "info", "warning", "error", "critical", "off")

_USAGE = """
usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
usage: /logging?group=<group_name>:<level> (change group of loggers)
levels: trace debug info warning error critical off
"""


def logging_page(view: AdminView, query: Query) -> Answer:
    """Change what the query names, all or nothing, and list all loggers with their levels."""
    problem = _change(view, query)
    levels = "".join(f"  {name}: {level}\n" for name, level in view.log_levels().items())
    listing = f"active loggers:\n{levels}\n"
    if problem:
        return Answer(f"error: {problem}\n{_USAGE}{listing}", 400)
    return Answer(listing)


def _change(view: AdminView, query: Query) -> str:
    """Carry out the change; what is wrong with it, or ""."""
    if len(query) > 1:
        return "invalid number of parameters"
    if "group" in query:
        return "group parameter requires fine-grain logging to be enabled"
    known = view.log_levels()
    for name, value in query.items():
        if not value:
            continue
        changes = _changes(name, value)
        for logger, level in changes:
            if not level or logger == "":
                return "empty logger name or empty logger level"
            if level not in LEVELS:
                return "unknown logger level"
            if logger is not None and logger not in known:
                return "unknown logger name"
        for logger, level in changes:
            view.set_log_level(level, logger)
    return ""


def _changes(name: str, value: str) -> list[tuple[str | None, str]]:
    """What a parameter asks for: (logger or None for all, level)."""
    if name == "level":
        return [(None, value)]
    if name == "paths":
        pairs = (part.rpartition(":") for part in value.split(","))
        return [(logger, level) for logger, _, level in pairs]
    return [(name, value)]
