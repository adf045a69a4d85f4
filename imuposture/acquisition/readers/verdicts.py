"""What the checks of `sanity` mean for a file: refuse it, choose its unit, or say so in a note."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from imuposture._blocks import FloatArray, ImuBlock, Role
from imuposture._errors import RecordingError
from imuposture.acquisition.readers import sanity
from imuposture.acquisition.readers.settings import ACC_UNITS, GYR_UNITS
from imuposture.acquisition.readers.text import safe_text

__all__ = ["Verdicts"]

# |acc| at rest, in g and m/s2. Sensors on a walking torso were seen at 11.7 m/s2 in their quietest second.
G_RANGE, MPS2_RANGE = (0.85, 1.22), (8.3, 12.0)
OFF_GRAVITY = 0.03  # share of g from which on |acc| at rest is worth a note
REPEATED = 1.8  # rows a sample from which on a sensor is said to repeat itself
DEG = 180.0 / math.pi
# Bending sensors agree with a correlation over 0.99 and a factor of 1.0 to 1.1, walking ones with 0.6 to 0.9 and up to
# 3, tapped and shaken ones down to -0.74; the two mistakes in the unit are 57 apart.
MIN_PIECES, SURE_CORRELATION = 10, 0.8
PIECES_TO_REFUSE, MIRRORED_CORRELATION = 20, -0.9
PLAUSIBLE_FACTOR = (0.5, 2.0)
MANY_PIECES, STRANGE_CORRELATION = 150, 0.4


@dataclass(slots=True)
class Verdicts:
    """Judges the first minutes of one file and collects the notes."""

    path: Path
    rate_hz: float
    notes: list[str] = field(default_factory=list)

    def acceleration_unit(self, blocks: Sequence[ImuBlock], declared: str | None) -> str:
        """Find the unit of the acceleration, or check the declared one.

        Raises
        ------
        RecordingError
            If a sensor is dead, or its acceleration at rest is not gravity in that unit.
        """
        found: dict[Role, str] = {}
        for block in blocks:
            self._refuse_dead(block.role, "acceleration", block.acc)
            self._refuse_dead(block.role, "angular rate", block.gyr)
            self._note_repeats(block)
            level = sanity.rest_level(sanity.bridged(block.acc), self.rate_hz)
            if level is None:
                self.notes.append(f"{block.role}: no second without a missing sample; units could not be checked")
                continue
            found[block.role] = self._unit(block.role, level, declared)
            self._note_level(block.role, level * ACC_UNITS[found[block.role]])
        if len(set(found.values())) > 1:
            raise self._refused("one sensor's acceleration is in g, the other's in m/s2; bring both to m/s2")
        return next(iter(found.values()), declared or "m/s2")

    def rotation(self, block: ImuBlock, seconds: FloatArray, unit: str) -> None:
        """Compare angular rate and gravity.

        Raises
        ------
        RecordingError
            If they turn opposite ways, or differ by the factor between degrees and radians.
        """
        acc, gyr = sanity.bridged(block.acc), sanity.bridged(block.gyr) * GYR_UNITS[unit]
        found = sanity.gravity_agreement(seconds, acc, gyr, self.rate_hz)
        if found.count < MIN_PIECES:
            return
        if found.correlation < MIRRORED_CORRELATION and found.count >= PIECES_TO_REFUSE:
            raise self._refused(
                f"the {block.role} sensor turns the opposite way to gravity (correlation {found.correlation:.2f}): its "
                "axes are mirrored. Change the sign of all three angular rates, or of all three accelerations"
            )
        if found.correlation >= SURE_CORRELATION:
            self._check_factor(block.role, 1 / found.factor, unit)
        elif found.count >= MANY_PIECES and found.correlation < STRANGE_CORRELATION:
            self.notes.append(
                f"{block.role}: gravity and gyroscope hardly agree (correlation {found.correlation:.2f}); are the axes "
                "of both in the same order, and right-handed?"
            )

    def _refuse_dead(self, role: Role, quantity: str, values: FloatArray) -> None:
        missing = any(np.isnan(column).all() for column in values.T)
        if not missing and np.nan_to_num(values).any():
            return
        raise self._refused(
            f"the {quantity} of the {role} sensor is {'missing' if missing else 'zero'} in all of the first "
            f"{len(values) / self.rate_hz:.3g} s; leave this sensor's columns out, or begin the file where it works"
        )

    def _note_repeats(self, block: ImuBlock) -> None:
        times = sanity.repeats(block.acc, block.gyr)
        if times > REPEATED:
            self.notes.append(
                f"{block.role}: every sample is there {times:.1f} times in a row; the sensor's true rate is about "
                f"{self.rate_hz / times:.4g} Hz, not {self.rate_hz:.4g} Hz"
            )

    def _unit(self, role: Role, level: float, declared: str | None) -> str:
        told = f"the acceleration of the {role} sensor at rest is {level:.4g}"
        if declared:
            if MPS2_RANGE[0] <= level * ACC_UNITS[declared] <= MPS2_RANGE[1]:
                return declared
            raise self._refused(
                f"{told}, which cannot be gravity in {declared}; write the right unit into the TOML beside the file: "
                'units = { acc = "g" } or units = { acc = "m/s2" }'
            )
        if MPS2_RANGE[0] <= level <= MPS2_RANGE[1]:
            return "m/s2"
        if G_RANGE[0] <= level <= G_RANGE[1]:
            self.notes.append(f"{role}: acceleration read as g ({level:.2f} at rest)")
            return "g"
        hint = " (mg? divide by 1000)" if 1000 * G_RANGE[0] <= level <= 1000 * G_RANGE[1] else ""
        raise self._refused(
            f"{told}{hint}, which is neither m/s2 ({MPS2_RANGE[0]:g} to {MPS2_RANGE[1]:g}) nor g ({G_RANGE[0]:g} to "
            f"{G_RANGE[1]:g}); bring it to m/s2, with gravity left in"
        )

    def _note_level(self, role: Role, level: float) -> None:
        off = level / ACC_UNITS["g"] - 1
        if abs(off) > OFF_GRAVITY:
            self.notes.append(
                f"{role}: acceleration at rest is {level:.2f} m/s2, {off:+.1%} off gravity; harmless if all axes share "
                f"it, but an offset of one axis this large tilts inclinations by up to {DEG * math.asin(abs(off)):.1f} "
                "degrees"
            )

    def _check_factor(self, role: Role, factor: float, unit: str) -> None:
        """Judge the factor by which the angular rates are larger than gravity's movement."""
        right = {"rad/s": "deg/s", "deg/s": "rad/s"}[unit]
        mistake = GYR_UNITS[unit] / GYR_UNITS[right]
        if mistake / 2 < factor < mistake * 2:
            raise self._refused(
                f"the angular rates of the {role} sensor, read as {unit}, are {factor:.3g} times what the movement of "
                f'gravity shows: they are in {right}. Write units = {{ gyr = "{right}" }} into the TOML beside the file'
            )
        if not PLAUSIBLE_FACTOR[0] < factor < PLAUSIBLE_FACTOR[1]:
            self.notes.append(
                f"{role}: angular rates are {factor:.3g} times what the movement of gravity shows; is the full scale "
                "of the gyroscope set right?"
            )

    def _refused(self, problem: str) -> RecordingError:
        return RecordingError(f"{safe_text(self.path)}: {problem}")
