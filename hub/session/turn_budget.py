"""The budget of one turn's reading, in one unit: bytes read. Other work is charged as so many bytes."""


class TurnBudget:
    """What is left of a turn. The budget may be overdrawn by the step that spends the last of it."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 0
