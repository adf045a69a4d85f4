"""What a second of the session is called, once it is known what the wearer did."""

from typing import Literal, NamedTuple, get_args

__all__ = ["EPOCH_S", "LYING", "STATES", "Epoch", "State"]

State = Literal[
    "sitting",
    "standing",
    "walking",
    "lying_supine",
    "lying_prone",
    "lying_right",
    "lying_left",
    "transition",
    "unknown",
]
STATES: tuple[State, ...] = get_args(State)
LYING = frozenset(state for state in STATES if state.startswith("lying"))

EPOCH_S = 1.0


class Epoch(NamedTuple):
    """A second of the session.

    Attributes
    ----------
    start_s : float
    state : str
        One of `STATES`.
    probability : float
        Of that state, by the model in docs/metrics.md; 0 where it is unknown for want of rows.
    lean_deg, flexion_deg : float
        Mean trunk inclination and flexion; NaN where not known.
    motion_degps : float
        Mean change of the trunk's inclination; NaN where not known.
    """

    start_s: float
    state: State
    probability: float
    lean_deg: float
    flexion_deg: float
    motion_degps: float
