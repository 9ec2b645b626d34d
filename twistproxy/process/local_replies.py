"""Local replies at run time, put together from their settings."""

from __future__ import annotations

from twistproxy.http.known_headers import SINGLE_RESPONSE
from twistproxy.model.local_reply import PLAIN_REPLIES, LocalReplySettings
from twistproxy.observe.access_log import Clocks
from twistproxy.route.header_rules import compile_edits
from twistproxy.stream.local_replies import LocalReplies, Mapper


def build_local_replies(settings: LocalReplySettings, clocks: Clocks) -> LocalReplies | None:
    """None if replies stay as they are."""
    if settings == PLAIN_REPLIES:
        return None
    mappers = [
        Mapper(
            one.filter,
            one.status,
            one.body,
            one.format,
            compile_edits([(one.headers, None)], clocks, SINGLE_RESPONSE),
            clocks,
        )
        for one in settings.mappers
    ]
    return LocalReplies(tuple(mappers), settings.format, clocks)
