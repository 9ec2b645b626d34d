"""Runtime values: settings by name that may change while requests flow (Envoy: configuration/operations/runtime).

A value is what its layer says: a bool, a number, a text, or a percentage `{"numerator": n, "denominator": d}`.  Each
use reads it in its own way, and takes its default for a value that cannot be read so, as for one that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping

#: A value as a layer has it.
Plain = bool | int | float | str | Mapping[str, object]

#: envoy.type.v3.FractionalPercent.DenominatorType
DENOMINATORS: dict[object, int] = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}

_MOST_UINT32 = 0xFFFFFFFF


class RuntimeValue:
    """One value in all the ways it can be read; None where it cannot.

    text         what `get_string` gives
    integer      not negative; of a number with a fraction the whole part
    numerator, denominator   of a percentage; a denominator of 0: it is none
    """

    __slots__ = ("boolean", "denominator", "double", "integer", "numerator", "text")

    def __init__(self, value: Plain) -> None:
        self.integer: int | None = None
        self.double: float | None = None
        self.boolean: bool | None = None
        self.numerator = 0
        self.denominator = 0
        if isinstance(value, bool):
            self.text = "true" if value else "false"
            self.boolean = value
        elif isinstance(value, (int, float)):
            self.text = number_text(value)
            self._number(float(value))
        elif isinstance(value, str):
            self.text = value
            self._from_text(value)
        else:
            self.text = str(dict(value))
            self._percentage(value)

    def _number(self, value: float) -> None:
        self.double = value
        if value.is_integer():
            self.boolean = value != 0
        if 0 <= value < 2**64:
            self.integer = int(value)

    def _from_text(self, text: str) -> None:
        """Text that reads as a number is one.  Envoy takes no truth and no percentage from text."""
        try:
            self._number(float(text))
        except ValueError:
            pass

    def _percentage(self, value: Mapping[str, object]) -> None:
        """envoy.type.v3.FractionalPercent; a mapping with anything else in it is none."""
        if not value.keys() <= {"numerator", "denominator"}:
            return
        numerator = value.get("numerator", 0)
        denominator = DENOMINATORS.get(str(value.get("denominator", "HUNDRED")), 0)
        if isinstance(numerator, (int, float)) and 0 <= numerator <= _MOST_UINT32:
            self.numerator = int(numerator)
            self.denominator = denominator


class RuntimeValues:
    """All values of the moment, shared by everything in a process that reads one.

    A reader keeps this object and asks at each use: `replace` changes all values at once.  A key of "" stands for
    "no key" and gives the default.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Plain] | None = None) -> None:
        self._values: dict[str, RuntimeValue] = {}
        if values:
            self.replace(values)

    def replace(self, values: Mapping[str, Plain]) -> None:
        """Let these be the values from now on, and no others."""
        self._values = {key: RuntimeValue(value) for key, value in values.items() if key}

    def get_integer(self, key: str, default: int) -> int:
        found = self._values.get(key)
        return default if found is None or found.integer is None else found.integer

    def get_double(self, key: str, default: float) -> float:
        found = self._values.get(key)
        return default if found is None or found.double is None else found.double

    def get_boolean(self, key: str, default: bool) -> bool:
        found = self._values.get(key)
        return default if found is None or found.boolean is None else found.boolean

    def get_string(self, key: str, default: str) -> str:
        found = self._values.get(key)
        return default if found is None else found.text

    def fraction(self, key: str, numerator: int, denominator: int) -> tuple[int, int]:
        """A share as (numerator, denominator).  A percentage as it is; a bare integer counts hundredths, and above
        100 is all."""
        found = self._values.get(key)
        if found is not None:
            if found.denominator:
                return found.numerator, found.denominator
            if found.integer is not None:
                return min(found.integer, 100), 100
        return numerator, denominator

    def feature_enabled(self, key: str, numerator: int, denominator: int, random_value: int) -> bool:
        """Whether something that is done to a share of requests is done to this one.

        numerator, denominator  the share if the key has no value
        random_value            not negative; evenly spread over far more than the denominator
        """
        found = self._values.get(key)
        if found is not None:
            if found.denominator:
                return random_value % found.denominator < found.numerator
            if found.integer is not None:
                return random_value % 100 < found.integer
        return random_value % denominator < numerator


def number_text(value: float) -> str:
    """A number as Envoy prints it: six significant digits, no ".0"."""
    return f"{value:.6g}"
