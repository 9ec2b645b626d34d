"""What can say in words what it wants, and is equal to whatever wants the same."""

from __future__ import annotations


class Described:
    """An immutable rule.  Its words are complete: two rules of the same words are the same rule, which is how a
    changed configuration is found."""

    __slots__ = ()

    def describe(self) -> str:
        """The rule in words, for people."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self) and isinstance(other, Described) and other.describe() == self.describe()
        )

    def __hash__(self) -> int:
        return hash(self.describe())

    def __repr__(self) -> str:
        return f"<{self.describe()}>"
