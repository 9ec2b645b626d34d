"""The shapes through which the stages of the path know each other: typing.Protocol classes, enums and aliases.

No behaviour and no instance data lives here.  Nothing inherits from these protocols: an object that has the methods
satisfies them, so hot classes keep their `__slots__`.
"""
