"""x-request-id."""

from __future__ import annotations

import re
from random import Random

from twistproxy.observe.request_id import RequestIds


def test_ids_are_uuids_and_all_different() -> None:
    ids = RequestIds(Random(1))
    made = [ids.next() for _ in range(2000)]
    form = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(form.fullmatch(one) for one in made)
    assert len(set(made)) == len(made)
    assert {one[19:20] for one in made} == {b"8", b"9", b"a", b"b"}
