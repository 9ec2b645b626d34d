"""Local replies as configured (envoy…http_connection_manager.v3.LocalReplyConfig)."""

from __future__ import annotations

from dataclasses import dataclass, field

from twistproxy.model.access_log import LogFilter, LogFormat
from twistproxy.model.header_rules import HeaderRules


@dataclass(frozen=True, slots=True)
class ResponseMapperSettings:
    """What is done to the replies that `filter` passes; None leaves as it is.

    body    replaces the body
    format  makes the body, in place of the format of all replies
    """

    filter: LogFilter
    status: int | None = None
    body: bytes | None = None
    format: LogFormat | None = None
    headers: HeaderRules = field(default_factory=HeaderRules)


@dataclass(frozen=True, slots=True)
class LocalReplySettings:
    """The first mapper that takes a reply changes it; `format` makes the bodies."""

    mappers: tuple[ResponseMapperSettings, ...] = ()
    format: LogFormat | None = None


#: Replies stay as they are.
PLAIN_REPLIES = LocalReplySettings()
