"""What a stream offers to HTTP filters, beside its own methods (`api.http_filter`)."""

from __future__ import annotations

from typing import Any

from twistproxy.stream.chain import FilterWalk


class FilterSide:
    """The base of `Stream`.  `owner` is in each method the filter that asks."""

    __slots__ = ("_walk",)

    _walk: FilterWalk | None

    @property
    def notes(self) -> dict[Any, Any]:
        """What filters remember of this stream, each under a key of its own, best itself."""
        assert self._walk is not None
        return self._walk.notes

    def continue_decoding(self, owner: Any) -> None:
        """Let what waits of the request at this filter go on.  May come at any time, also when the stream is over."""
        if self._walk is not None:
            self._walk.continue_decoding(owner)

    def continue_encoding(self, owner: Any) -> None:
        """The same for the response."""
        if self._walk is not None:
            self._walk.continue_encoding(owner)

    def take_held(self, owner: Any) -> bytes:
        """The content of the request that waits at this filter; it does not go on by itself any more."""
        assert self._walk is not None
        return self._walk.decoding.take_held(owner)

    def take_held_response(self, owner: Any) -> bytes:
        """The same for the response."""
        assert self._walk is not None
        return self._walk.encoding.take_held(owner)

    def release_response(self, owner: Any, most: int) -> int:
        """Let so many bytes of the response's content that waits at this filter go on, if there are.  Returns how many
        went; with the last of them goes the end of the response, if it has come."""
        return 0 if self._walk is None else self._walk.release_response(owner, most)

    def set_request_limit(self, size: int) -> None:
        """How much of the request may wait at filters, in bytes."""
        assert self._walk is not None
        self._walk.decoding.limit = size

    def set_response_limit(self, size: int) -> None:
        assert self._walk is not None
        self._walk.encoding.limit = size
