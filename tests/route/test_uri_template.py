"""URI templates and rewrites from what they capture."""

from __future__ import annotations

import pytest

from twistproxy.route.uri_template import TemplateError, TemplateRewrite, UriTemplate


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("/", [b"/"], [b"/a", b""]),
        ("/a/*", [b"/a/b", b"/a/b.c~%20"], [b"/a", b"/a/", b"/a/b/c", b'/a/b"c']),
        ("/a/**", [b"/a/", b"/a/b/c/"], [b"/a", b"/ab"]),
        ("/a/{x}/c", [b"/a/b/c"], [b"/a/b/b/c", b"/a//c"]),
        ("/{x=b/*}/c", [b"/b/1/c"], [b"/b/c", b"/a/1/c"]),
        ("/{x=**}.m3u8", [b"/a/b.m3u8", b"/.m3u8"], [b"/a/b.m3u9", b"/am3u8"]),
        ("/a.b/(c)+", [b"/a.b/(c)+"], [b"/axb/(c)+", b"/a.b/cc"]),
        ("/a/", [b"/a/"], [b"/a"]),
        ("/a{x}c/d", [b"/abc/d"], [b"/ac/d", b"/ab/d", b"/abc"]),
        ("/a{x=**}c/d", [b"/ac/d", b"/ab/bc/d"], [b"/ab/b/d"]),
        ("/{x=b/*}c", [b"/b/1c"], [b"/b/1"]),
        ("/a=b*", [b"/a=bbb", b"/a="], [b"/a=b*"]),
        ("/*.x", [b"/a.x"], [b"/axx", b"/.x/"]),
        ("/*/*/a", [b"/1/2/a"], [b"/1/a"]),
    ],
)
def test_matches(text: str, good: list[bytes], bad: list[bytes]) -> None:
    template = UriTemplate(text)
    assert [path for path in good if not template.matches(path)] == []
    assert [path for path in bad if template.matches(path)] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "/a b",
        "/**/*",
        "/**/{x}",
        "/{x=**}/{y=*}",
        "/{x}/{x}",
        "/{}",
        "/{1}",
        "/{x",
        "/{x=}",
        "/{x=*/}",
        "/{x=*b}",
        "/{" + "x" * 17 + "}",
        "/{a}/{b}/{c}/{d}/{e}/{f}",
        "/*a/b",
        "/**.x/",
        "/a{b}c{d}",
        "/{a}{b}",
        "/a**b",
        "/a{b=x/*}c",
        "/{b=/a}",
        "/*{b}",
        "/a}b",
        "/a{",
        "//a",
        "/a//b",
        "/é",
    ],
)
def test_no_templates(text: str) -> None:
    with pytest.raises(TemplateError):
        UriTemplate(text)


def test_rewrites() -> None:
    template = UriTemplate("/{lang}/{rest=**}")
    rewrite = TemplateRewrite("/new/{rest}/{lang}.x", template)
    assert rewrite.apply(b"/de/a/b") == b"/new/a/b/de.x"
    assert rewrite.apply(b"*") == b"*"
    assert TemplateRewrite("/fix", template).apply(b"/de/a") == b"/fix"
    for text in ("", "new", "{lang}", "/{nobody}", "/{lang", "/a//b", "/{lang}/{}", "/a?b", "/a b"):
        with pytest.raises(TemplateError):
            TemplateRewrite(text, template)
