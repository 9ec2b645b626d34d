"""Header maps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.headers import HeaderMap

NAMES = st.sampled_from([b"a", b"b", b"c"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "set", "remove", "remove_all"]), NAMES, st.sampled_from([b"1", b"2"]))
)


def test_get_joins_fields_of_one_name() -> None:
    headers = HeaderMap([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    assert (headers.get(b"a"), headers.get(b"b"), headers.get(b"c")) == (b"1,3", b"2", None)
    assert headers.get_all(b"a") == [b"1", b"3"]
    assert b"a" in headers and b"c" not in headers


def test_set_takes_the_place_of_the_first() -> None:
    headers = HeaderMap([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    headers.set(b"a", b"4")
    assert headers.items == [(b"a", b"4"), (b"b", b"2")]


@given(STEPS)
def test_index_and_items_stay_in_step(steps: list[tuple[str, bytes, bytes]]) -> None:
    headers = HeaderMap([])
    model: list[tuple[bytes, bytes]] = []
    for step, name, value in steps:
        if step == "add":
            headers.add(name, value)
            model.append((name, value))
        elif step == "set":
            headers.set(name, value)
            first = next((at for at, item in enumerate(model) if item[0] == name), len(model))
            model[first:] = [(name, value), *(item for item in model[first:] if item[0] != name)]
        elif step == "remove":
            headers.remove(name)
            model = [item for item in model if item[0] != name]
        else:
            headers.remove_all(frozenset((name, b"z")))
            model = [item for item in model if item[0] != name]
        assert headers.items == model
        assert headers.index == dict(model)
