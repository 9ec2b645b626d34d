"""The endpoints in the JSON text of an assignment, of which hardly any differ from those of the version before.

Where the text goes on as the former one did, one comparison says so, and nothing is read; where it does not, objects
are read one by one until one comes that was there before.  Whatever way the file is laid out, what is found is what
`json` would find: a comparison begins where an object does, and JSON says where that ends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from twistproxy.discovery.load_assignment import Group
from twistproxy.model.endpoint import Endpoint

_LIST = re.compile(r'"lb_endpoints"[ \t\n\r]*:[ \t\n\r]*\[[ \t\n\r]*')
_COMMA = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")
_END = re.compile(r"[ \t\n\r]*\]")
#: What JSON never has in it.
_NEVER = "\0"

#: From an object to an endpoint of the group.
Build = Callable[[dict[str, Any], Group], Endpoint]


class NotPlain(ValueError):
    """It is not what is expected here: to be read as a whole."""


class _Piece(NamedTuple):
    """Objects of a list that have been in the file before, at these places, or are new: then `begin` is `end`.

    text   of a single one; "" for those that were met by comparison
    value  of a new one
    """

    begin: int
    end: int
    text: str = ""
    value: dict[str, Any] | None = None


class EndpointTexts:
    """The objects of all `lb_endpoints` lists of one version of a file, one after the other, and what was made of them.

    `parse` reads a text with the help of a former version; `make` is to be called for each of the lists, in order.
    """

    def __init__(self, former: EndpointTexts | None = None) -> None:
        self._former = former
        # Each with what separates it from the next one; `_NEVER` for the last of a list, which is in `_last`.
        self._texts: list[str] = []
        self._last: dict[str, int] = {}
        self._groups: list[Group] = []
        self._made: list[Endpoint] = []
        self._lists: list[list[_Piece]] = []

    def parse(self, text: str) -> Any:
        """The text's content, with a number in each of the lists: that which `make` wants.  ValueError if it is no
        JSON, or has a name twice in an object."""
        bare: list[str] = []
        former = _Former(self._former or EndpointTexts())
        at = 0
        while (found := _LIST.search(text, at)) is not None:
            pieces, end = former.follow(text, found.end())
            bare += text[at : found.end()], str(len(self._lists))
            self._lists.append(pieces)
            at = end
        bare.append(text[at:])
        rest = "".join(bare)
        if "\\u" in rest:
            raise NotPlain  # a name may be written with it
        return _DECODER.decode(rest)

    @property
    def count(self) -> int:
        """How many lists there are."""
        return len(self._lists)

    def make(self, number: int, group: Group, build: Build) -> list[Endpoint]:
        """The endpoints of a list, those that were there before as they were."""
        former = self._former or self
        made: list[Endpoint] = []
        for begin, end, text, value in self._lists[number]:
            if begin < end and former._groups[begin] == group:
                made += former._made[begin:end]
            elif text:
                made.append(build(_DECODER.raw_decode(text)[0] if value is None else value, group))
            else:
                made += [build(_DECODER.raw_decode(one)[0], group) for one in former._texts[begin:end]]
            self._texts += (text,) if text else former._texts[begin:end]
        if made:
            self._last[self._texts[-1]] = len(self._texts) - 1
            self._texts[-1] = _NEVER
        self._made += made
        self._groups += [group] * len(made)
        return made

    def settle(self) -> None:
        """All lists have been made: what helped is not needed any more."""
        self._former = None
        self._lists.clear()

    def places(self) -> dict[str, int]:
        """By its text, where an object is."""
        return {**dict(zip(self._texts, range(len(self._texts)))), **self._last}


class _Former:
    """A former version, along which a text is read."""

    def __init__(self, former: EndpointTexts) -> None:
        self._of = former
        self._texts = [*former._texts, _NEVER]
        self._places: dict[str, int] | None = None
        self._next = 0

    def follow(self, text: str, at: int) -> tuple[list[_Piece], int]:
        """A list whose first object, if it has one, is at `at`: its pieces, and where its bracket is."""
        if _END.match(text, at):
            return [], at
        texts, pieces = self._texts, []
        while True:
            begin = here = self._next
            while text.startswith(one := texts[here], at):
                at += len(one)
                here += 1
            if here > begin:
                pieces.append(_Piece(begin, here))
            value, end = _DECODER.raw_decode(text, at)
            if not isinstance(value, dict):
                raise NotPlain
            comma = _COMMA.match(text, end)
            piece = text[at : end if comma is None else comma.end()]
            place = self._place(piece)
            if place is None:
                self._next = here
                pieces.append(_Piece(here, here, piece, value))
            else:
                self._next = place + 1
                pieces.append(_Piece(place, place + 1, piece))
            if comma is None:
                if not _END.match(text, end):
                    raise NotPlain
                return pieces, end
            at = comma.end()

    def _place(self, text: str) -> int | None:
        if self._places is None:
            self._places = self._of.places()
        return self._places.get(text)


def _without_repetitions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotPlain
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repetitions)
