"""Paths made uniform."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.path import merge_slashes, normalise, unescape_slashes

WORDS = r"/ // . .. %2e %2E%2e . ; ..; .;x \ %2f %2F %5c % %% %4 %41 %7e %61 %zz %34 %31 ? # a b ~ [ | é"
#: Whatever a parser lets through after the first slash, with what matters here more often than by chance.
PIECES = st.one_of(
    st.sampled_from(WORDS.split()).map(lambda text: text.encode("latin-1")),
    st.binary(max_size=2).map(lambda data: data.replace(b"\0", b"0")),
)
TARGETS = st.lists(PIECES, max_size=12).map(lambda pieces: b"/" + b"".join(pieces))
#: What has one meaning in RFC 3986: segments of characters that need no thought, and escapes of them.
SEGMENTS = st.lists(
    st.sampled_from(
        ["a", "b", ".", "%2e", "%2E", "%41", "%7E", "%2F", "%c3%a9", "~", "-", "_", "!", "@", ":"]
    ),
    max_size=4,
).map("".join)
SANE = st.lists(SEGMENTS, min_size=1, max_size=6).map(lambda segments: "/" + "/".join(segments))


def by_the_rfc(path: str) -> str:
    """RFC 3986 sections 6.2.2.2 (decode unreserved characters) and 5.2.4 (remove dot segments), word by word."""
    text = ""
    while path:
        if path[0] == "%" and re.fullmatch("[A-Za-z0-9._~-]", chr(int(path[1:3], 16))):
            text, path = text + chr(int(path[1:3], 16)), path[3:]
        else:
            text, path = text + path[0], path[1:]
    out = ""
    while text:
        if text.startswith("../"):
            text = text[3:]
        elif text.startswith(("./", "/./")):
            text = text[2:]
        elif text == "/.":
            text = "/"
        elif text.startswith("/../"):
            text, out = text[3:], out.rpartition("/")[0]
        elif text == "/..":
            text, out = "/", out.rpartition("/")[0]
        elif text in (".", ".."):
            text = ""
        else:
            end = text.find("/", 1)
            end = len(text) if end < 0 else end
            out, text = out + text[:end], text[end:]
    return out


@given(TARGETS)
def test_normalising_never_fails_and_is_idempotent(target: bytes) -> None:
    once = normalise(target)
    if once is None:
        assert b"%00" in target
    else:
        assert once[:1] == b"/"
        # An escaped dot with parameters ("%2e;x") becomes ".;x", which Envoy too takes for a dot only the next time.
        assert normalise(once) == once or b".;" in once
        assert once.partition(b"?")[2] == target.partition(b"?")[2]


@pytest.mark.parametrize("escape", [b"%aA", b"%Aa", b"%AA", b"%aa"])
def test_every_spelling_of_an_escape(escape: bytes) -> None:
    assert normalise(b"/" + escape + b"%6a%6A") == b"/" + escape + b"jj"


@given(TARGETS)
def test_no_dot_segment_is_left(target: bytes) -> None:
    path = (normalise(target) or b"/").partition(b"?")[0]
    assert not re.search(rb"/(?:\.|%2[eE]){1,2}(?:/|$)", path)
    assert b"\\" not in path


@given(TARGETS)
def test_slashes(target: bytes) -> None:
    merged = merge_slashes(target)
    assert merged[:1] == b"/" and merge_slashes(merged) == merged
    path = merged.partition(b"?")[0]
    assert path == b"//" or b"//" not in path
    plain = unescape_slashes(target)
    assert plain[:1] == b"/" and plain.partition(b"?")[2] == target.partition(b"?")[2]
    assert (len(plain) == len(target)) == (plain == target)


@given(SANE)
def test_sane_paths_become_what_the_rfc_says(path: str) -> None:
    assert normalise(path.encode()) == by_the_rfc(path).encode()


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/a/b?c=/../%41", b"/a/b?c=/../%41"),
        (b"/%00", None),
        (b"/?%00", b"/?%00"),
        (b'/"<>^`{|}', b"/%22%3C%3E%5E%60%7B%7C%7D"),
        (b"/a\\..\\b", b"/b"),
        (b"/a/..;x=y/b", b"/b"),
        (b"/%%34%31", b"/%2541"),
        (b"/%%341", b"/%2541"),
        (b"/%4%31", b"/%2541"),
        (b"/%zz%c3", b"/%zz%c3"),
    ],
)
def test_odd_ones(target: bytes, expected: bytes | None) -> None:
    assert normalise(target) == expected
