"""What a placement allows to be said."""

__all__ = ["is_lumbar"]

UPPER, LOWER = {"t12", "l1"}, {"s1", "s2", "sacrum"}


def is_lumbar(placement: str) -> bool:
    """Say whether the two sensors enclose the lumbar spine: T12 or L1 over the sacrum, as in ``"T12-S2"``."""
    upper, _, lower = placement.lower().replace("-", "_").partition("_")
    return upper in UPPER and lower in LOWER
