"""What the demo prints."""

from __future__ import annotations

import sys
from typing import TextIO

_BOLD, _DIM, _GREEN, _RED = "1", "2", "32", "1;31"


class Screen:
    """Prints the story; colours only on a terminal.  Remembers which steps did not hold."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._colours = out.isatty()
        self.failed: list[str] = []

    def title(self, text: str) -> None:
        """A new part of the story."""
        self._print(f"\n{self._in(_BOLD, text)}")

    def say(self, text: str = "") -> None:
        """A line of the story."""
        self._print(f"  {text}" if text else "")

    def command(self, text: str, note: str = "") -> None:
        """A command that was run, or that the user may run."""
        self._print(f"  {self._in(_DIM, '$')} {text}" + (self._in(_DIM, f"   # {note}") if note else ""))

    def check(self, held: bool, text: str, otherwise: str = "") -> bool:
        """A step that held or did not; `otherwise` says what was found instead.  Returns `held`."""
        if held:
            self._print(f"  {self._in(_GREEN, 'ok')}      {text}")
        else:
            found = f"{text}: {otherwise}" if otherwise else text
            self._print(f"  {self._in(_RED, 'FAILED')}  {found}")
            self.failed.append(found)
        return held

    def bars(self, counts: dict[int, int], names: dict[int, str]) -> None:
        """How many answers came from which copy."""
        most = max([*counts.values(), 1])
        for number, name in names.items():
            count = counts.get(number, 0)
            self.say(f"{name}  {count:5d}  {'#' * round(30 * count / most)}")

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)
