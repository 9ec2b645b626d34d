"""Content that must be there (Envoy: PayloadMatcher)."""

from __future__ import annotations


def has_all(expected: tuple[bytes, ...], content: bytes) -> bool:
    """Whether each piece is in `content`, one behind the other, whatever lies between."""
    at = 0
    for piece in expected:
        at = content.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True
