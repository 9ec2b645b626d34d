"""x-request-id: UUIDs of version 4, made in batches (Envoy: http_conn_man/headers#x-request-id)."""

from __future__ import annotations

from random import Random

_BATCH = 256


class RequestIds:
    """`next()` → b"xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx".

    One random number makes a whole batch: asking the system for each would cost more than all the rest of the head.
    """

    __slots__ = ("_getrandbits", "_ids")

    def __init__(self, random: Random) -> None:
        self._getrandbits = random.getrandbits
        self._ids: list[bytes] = []

    def next(self) -> bytes:
        if not self._ids:
            self._fill()
        return self._ids.pop()

    def random(self) -> int:
        """A number of 32 random bits."""
        return self._getrandbits(32)

    def _fill(self) -> None:
        text = b"%0*x" % (32 * _BATCH, self._getrandbits(128 * _BATCH))
        variants = (b"8", b"9", b"a", b"b")
        self._ids = [
            b"-".join(
                (
                    text[at : at + 8],
                    text[at + 8 : at + 12],
                    b"4" + text[at + 13 : at + 16],
                    variants[text[at + 16] & 3] + text[at + 17 : at + 20],
                    text[at + 20 : at + 32],
                )
            )
            for at in range(0, 32 * _BATCH, 32)
        ]
