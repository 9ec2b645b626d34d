"""How HTTP/1 is spoken: `http_protocol_options` of connection managers and clusters, and the limits of heads."""

from __future__ import annotations

from dataclasses import dataclass

from twistproxy.primitives.string_match import StringMatcher


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """`header_key_format`.

    keep    write the names of a received message on as they came (preserve_case)
    proper  write the others Like-This instead of like-this; without `keep`, all of them (proper_case_words)
    reason  of a response that is kept, its reason phrase too
    """

    keep: bool = False
    proper: bool = False
    reason: bool = False


@dataclass(frozen=True, slots=True)
class Http1Settings:
    """Towards the downstream.

    max_head_bytes      start line and header section (`max_request_headers_kb`, 60 KiB)
    max_headers         fields (`common_http_protocol_options.max_headers_count`, 100)
    underscores         of fields with "_" in their names: "" (nothing), "reject" (the request) or "drop"
    allow_chunked_length  Content-Length beside Transfer-Encoding is ignored instead of refused
    custom_methods      any token is a method
    ignored_upgrades    requests for these are taken without the upgrade
    carries_spelling    some cluster keeps the spelling of its responses' names
    """

    accept_http_10: bool = False
    default_host_for_http_10: bytes = b""
    enable_trailers: bool = False
    allow_absolute_url: bool = True
    max_head_bytes: int = 60 * 1024
    max_headers: int = 100
    underscores: str = ""
    allow_chunked_length: bool = False
    custom_methods: bool = False
    ignored_upgrades: tuple[StringMatcher, ...] = ()
    key_format: KeyFormat | None = None
    carries_spelling: bool = False

    @property
    def extended(self) -> bool:
        """Whether `codec.h1_extended` is needed."""
        return self.custom_methods or self.carries_spelling or self.key_format is not None


@dataclass(frozen=True, slots=True)
class UpstreamHttp1Settings:
    """Towards upstreams; names as in `Http1Settings`.

    max_head_bytes        `max_response_headers_kb`; the default is what Envoy's parser holds
    send_fully_qualified  requests have whole URLs as their targets
    carries_spelling      some connection manager keeps the spelling of its requests' names
    """

    max_headers: int = 100
    max_head_bytes: int = 80 * 1024
    enable_trailers: bool = False
    allow_chunked_length: bool = False
    send_fully_qualified: bool = False
    key_format: KeyFormat | None = None
    carries_spelling: bool = False

    @property
    def extended(self) -> bool:
        """Whether `codec.h1_extended` is needed."""
        return self.send_fully_qualified or self.carries_spelling or self.key_format is not None
