"""How runtime values are read."""

from __future__ import annotations

import pytest

from twistproxy.primitives.runtime import Plain, RuntimeValue, RuntimeValues


@pytest.mark.parametrize(
    ("value", "integer", "double", "boolean", "text"),
    [
        (5, 5, 5.0, True, "5"),
        (0, 0, 0.0, False, "0"),
        (2.5, 2, 2.5, None, "2.5"),
        (-3, 77, -3.0, True, "-3"),
        (12345678, 12345678, 12345678.0, True, "1.23457e+07"),
        (True, 77, 0.25, True, "true"),
        (False, 77, 0.25, False, "false"),
        ("12", 12, 12.0, True, "12"),
        ("true", 77, 0.25, None, "true"),
        ("some text", 77, 0.25, None, "some text"),
        ({"numerator": 1}, 77, 0.25, None, "{'numerator': 1}"),
    ],
)
def test_each_use_reads_a_value_in_its_own_way(
    value: Plain, integer: int, double: float, boolean: bool | None, text: str
) -> None:
    values = RuntimeValues({"key": value})
    assert values.get_integer("key", 77) == integer
    assert values.get_double("key", 0.25) == double
    assert values.get_boolean("key", True) is (True if boolean is None else boolean)
    assert values.get_boolean("key", False) is (False if boolean is None else boolean)
    assert values.get_string("key", "default") == text


def test_what_is_not_there_has_the_default() -> None:
    values = RuntimeValues({"": 1})
    assert values.get_integer("key", 3) == values.get_integer("", 3) == 3
    assert values.get_double("key", 0.5) == 0.5
    assert values.get_boolean("key", True) is True
    assert values.get_string("key", "x") == "x"
    assert values.fraction("key", 1, 10_000) == (1, 10_000)


@pytest.mark.parametrize(
    ("value", "share"),
    [
        (30, (30, 100)),
        (0, (0, 100)),
        (250, (100, 100)),
        ("30", (30, 100)),
        ({"numerator": 5, "denominator": "TEN_THOUSAND"}, (5, 10_000)),
        ({"numerator": 5.0, "denominator": "MILLION"}, (5, 1_000_000)),
        ({"numerator": 5, "denominator": 2}, (1, 1000)),
        ({"numerator": 5, "other": 2}, (1, 1000)),
        ({"numerator": 5}, (5, 100)),
        ({"denominator": "HUNDRED"}, (0, 100)),
        ('{"numerator": 7, "denominator": "MILLION"}', (1, 1000)),
        ({"numerator": -5}, (1, 1000)),
        ({"numerator": 5, "denominator": "THOUSAND"}, (1, 1000)),
        (2.5, (2, 100)),
        (True, (1, 1000)),
        ("text", (1, 1000)),
    ],
)
def test_shares(value: Plain, share: tuple[int, int]) -> None:
    values = RuntimeValues({"key": value})
    numerator, denominator = share
    assert values.fraction("key", 1, 1000) == share
    for random_value in (0, 4, 5, 6, 29, 30, 99, 100, 1006, 10_004, 2**63):
        expected = random_value % denominator < numerator
        assert values.feature_enabled("key", 1, 1000, random_value) is expected


def test_replacing_takes_everything_else_away() -> None:
    values = RuntimeValues({"old": 1, "both": 1})
    values.replace({"both": 2})
    assert values.get_integer("old", 9) == 9
    assert values.get_integer("both", 9) == 2


def test_a_denominator_that_is_none() -> None:
    assert RuntimeValue({"numerator": 1, "denominator": {"a": 1}}).denominator == 0
