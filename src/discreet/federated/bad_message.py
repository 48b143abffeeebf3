"""The error for a message that cannot be used.

It has a file of its own because `messages` asks `codec` to decode, and both raise it.
"""


class BadMessage(ValueError):
    """A message does not hold what it should; the text names no value of it."""
