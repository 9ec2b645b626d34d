from __future__ import annotations

import pytest

from twistproxy.primitives.expression import BadExpression, ecmascript, linear


def test_what_is_wrong_is_said_once(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadExpression, match=r"^missing \): \(a$"):
        linear("(a")
    assert capfd.readouterr() == ("", "")


def test_look_ahead_is_ecmascript() -> None:
    """As in the configurations that Istio writes."""
    text = r"^listener(?=\.).*?\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)"
    with pytest.raises(BadExpression):
        linear(text)
    found = ecmascript(text).search("listener.0.0.0.0_80.http.10.0.0.1_90.x")
    assert found[2] == "10.0.0.1_90"


def test_what_is_nothing_anywhere() -> None:
    with pytest.raises(BadExpression, match="missing"):
        ecmascript("(a")
