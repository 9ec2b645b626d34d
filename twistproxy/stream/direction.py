"""One way through the HTTP filters: what each filter is shown, and what waits where (`api.http_filter`)."""

from __future__ import annotations

from typing import Any

from twistproxy.api.http_filter import FilterStatus, Methods

_CONTINUE = FilterStatus.CONTINUE
_STOP = FilterStatus.STOP
_AND_BUFFER = FilterStatus.STOP_AND_BUFFER

#: Kinds of pieces.
HEAD, DATA, TRAILERS = 0, 1, 2
_NOWHERE = 1 << 30


class _Stop:
    """Where a filter holds what comes.

    whole       the filter is shown nothing before it lets go
    over_limit  whether too much content is an error; else its source is paused
    """

    __slots__ = ("at", "ended", "head", "head_ends", "over_limit", "owner", "pieces", "trailers", "whole")

    def __init__(self, at: int, owner: Any) -> None:
        self.at = at
        self.owner = owner
        self.head: Any = None
        self.head_ends = False
        self.pieces: list[bytes] = []
        self.ended = False
        self.trailers: Any = None
        self.whole = False
        self.over_limit = False


class Direction:
    """One way through the filters.

    Each piece runs through the filters' methods for its kind and then to `_deliver`.  A filter that stops has a `_Stop`,
    where the pieces wait that have come to it.

    limit  bytes that may wait in all
    over   nothing goes this way any more
    """

    __slots__ = ("_at_work", "_early", "_held", "_methods", "_paused", "_stops", "limit", "over", "started")

    def __init__(self, methods: tuple[Methods, Methods, Methods], limit: int) -> None:
        self._methods = methods
        self._stops: list[_Stop] = []
        self._held = 0
        self._paused = False
        self._at_work: Any = None
        self._early = False
        self.limit = limit
        self.over = False
        self.started = False

    def use(self, methods: tuple[Methods, Methods, Methods]) -> None:
        """The route has changed, and with it the filters' settings.  What a filter holds stays with it."""
        self._methods = methods

    def send(self, kind: int, piece: Any, end_stream: bool) -> None:
        self.started = True
        self._run(kind, piece, end_stream, 0)

    def resume(self, owner: Any) -> None:
        """Take the walk up behind this filter, if it holds anything."""
        for stop in self._stops:
            if stop.owner is owner:
                self._let_go(stop)
                return
        if self._at_work is owner:
            self._early = True

    def take_held(self, owner: Any) -> bytes:
        """The content that waits at this filter, which does not go on by itself then."""
        for stop in self._stops:
            if stop.owner is owner:
                content = self._take(stop)
                self._unpause_if_low()
                return content
        return b""

    def release(self, owner: Any, most: int) -> int:
        """Let the first bytes of the content that waits at this filter go on, at most so many.  Returns how many went;
        with the last of them goes all that waits here."""
        for stop in self._stops:
            if stop.owner is owner:
                content = self._take(stop)
                rest = content[most:]
                stop.pieces.append(rest or content)
                self._held += len(stop.pieces[0])
                if not rest:
                    self._let_go(stop)
                elif most:
                    self._run(DATA, content[:most], False, stop.at + 1)
                    self._unpause_if_low()
                return len(content) - len(rest)
        return 0

    def _run(self, kind: int, piece: Any, end_stream: bool, start: int) -> None:
        stop = self._next_stop(start)
        stopped_at = _NOWHERE if stop is None else stop.at
        methods = self._methods[kind]
        number = 0
        while number < len(methods):
            at, owner, method = methods[number]
            number += 1
            if at < start:
                continue
            if stop is not None and (at > stopped_at or (at == stopped_at and stop.whole)):
                break
            self._at_work = owner
            self._early = False
            status = (
                method(self.stream(), piece) if kind == TRAILERS else method(self.stream(), piece, end_stream)
            )
            self._at_work = None
            if self.over:
                return
            if isinstance(status, bytes):
                piece = status
            elif status != _CONTINUE and not self._early:
                self._hold(stop if at == stopped_at else None, at, owner, kind, piece, end_stream, status)
                return
            if stop is not None and at == stopped_at:
                self._add(stop, kind, piece, end_stream)
                if self._held > self.limit:
                    self._reply_too_large()
                else:
                    self._let_go(stop)
                return
            if methods is not self._methods[kind]:
                # `clear_route_cache` in that filter: the others are those of the new route.
                methods = self._methods[kind]
                start = at + 1
                number = 0
        if stop is None:
            self.deliver(kind, piece, end_stream)
        else:
            self._add(stop, kind, piece, end_stream)
            if kind == TRAILERS and not stop.whole:
                self._end_content(stop)
            else:
                self._check_limit(stop)

    def _end_content(self, stop: _Stop) -> None:
        """Trailers have come to a filter that takes none: say that the content it holds is complete."""
        for at, owner, method in self._methods[DATA]:
            if at == stop.at and owner is stop.owner:
                status = method(self.stream(), b"", True)
                if isinstance(status, bytes):
                    stop.pieces.append(status)
                    self._held += len(status)
                if not self.over and (isinstance(status, bytes) or status == _CONTINUE):
                    self._let_go(stop)

    def _next_stop(self, start: int) -> _Stop | None:
        found: _Stop | None = None
        for stop in self._stops:
            if stop.at >= start and (found is None or stop.at < found.at):
                found = stop
        return found

    def _hold(
        self, stop: _Stop | None, at: int, owner: Any, kind: int, piece: Any, end_stream: bool, status: int
    ) -> None:
        if stop is None:
            stop = _Stop(at, owner)
            # Without a method for content, a filter that stops a head is not asked about content either.
            stop.whole = kind == HEAD and status != _STOP
            self._stops.append(stop)
        stop.over_limit = status == _AND_BUFFER
        if kind == DATA and status == _STOP:
            piece = b""  # the filter has taken it
        self._add(stop, kind, piece, end_stream)
        self._check_limit(stop)

    def _add(self, stop: _Stop, kind: int, piece: Any, end_stream: bool) -> None:
        if kind == HEAD:
            stop.head = piece
            stop.head_ends = end_stream
        elif kind == DATA:
            stop.pieces.append(piece)
            self._held += len(piece)
            stop.ended = end_stream
        else:
            stop.trailers = piece

    def _let_go(self, stop: _Stop) -> None:
        self._stops.remove(stop)
        start = stop.at + 1
        if stop.head is not None:
            self._run(HEAD, stop.head, stop.head_ends, start)
        content = self._take(stop)
        if (content or stop.ended) and not self.over:
            self._run(DATA, content, stop.ended, start)
        if stop.trailers is not None and not self.over:
            self._run(TRAILERS, stop.trailers, True, start)
        self._unpause_if_low()

    def _take(self, stop: _Stop) -> bytes:
        content = b"".join(stop.pieces)
        stop.pieces.clear()
        self._held -= len(content)
        return content

    def _check_limit(self, stop: _Stop) -> None:
        if self._held <= self.limit or self._paused:
            return
        if stop.over_limit:
            self._reply_too_large()
        else:
            self._paused = True
            self.pause()

    def _reply_too_large(self) -> None:
        self.over = True
        self.too_large()

    def _unpause_if_low(self) -> None:
        if self._paused and self._held <= self.limit and not self.over:
            self._paused = False
            self.unpause()

    # ---- which way

    def stream(self) -> Any:
        raise NotImplementedError

    def deliver(self, kind: int, piece: Any, end_stream: bool) -> None:
        """Past all filters."""
        raise NotImplementedError

    def too_large(self) -> None:
        raise NotImplementedError

    def pause(self) -> None:
        raise NotImplementedError

    def unpause(self) -> None:
        raise NotImplementedError
