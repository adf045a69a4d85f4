"""The smoother against the offline variant of vqf: accuracy on public data; how fast it is, says ``speed.py``.

Run ``python benchmarks/smoothing.py [--only broad,song]``; exit code 1 if a goal is missed. The public data are looked
for in ``../shared/data`` beside the repository, and left out where absent.

The constants of the heading were chosen on every other trial of BROAD, marked *; the others validate them.
"""

import argparse
from collections.abc import Callable

import numpy as np
from _public import DATA, Trial, trials
from _scores import HingeScore, OrientationScore, hinge_score, orientation_score, rotation
from scipy.spatial.transform import Rotation
from vqf import offlineVQF

import imuposture as ip
from imuposture._blocks import FloatArray
from imuposture.fusion import Parameters

WORSE_BY = 0.3  # degrees that a trial may lose
DELAY = Parameters().sensor_delay  # s
METHODS = ("ours", "no delay", "vqf offline", "the same, led")
LEGEND = f"""\
BROAD: RMSE over the rows in motion, degrees: total, heading and inclination of 9-axis; heading without a constant and
inclination of 6-axis. no delay: ours without taking the sensor's delay out; led: vqf turned on by {DELAY:g} s,
as ours is. * chosen on these trials."""
SONG = "SONG RIG: angle between two sensors against a shaft encoder, RMSE in degrees, first minute / all 25 minutes"


def led(quat: FloatArray, gyr: FloatArray) -> FloatArray:
    """Turn an orientation on by the delay of a sensor, at the rate of the next row."""
    after = np.vstack([gyr[1:], gyr[-1:]])
    turned = rotation(quat) * Rotation.from_rotvec(after * DELAY)
    found: FloatArray = turned.as_quat(scalar_first=True)
    return found


def estimates(trial: Trial, sensor: str, magnetic: bool) -> list[FloatArray]:
    """Return the orientations of all methods."""
    kinds = ("gyr", "acc", "mag") if magnetic else ("gyr", "acc")
    rows = [np.ascontiguousarray(trial.rows(f"{sensor}_{kind}_")) for kind in kinds]
    mine = [
        ip.smoothed_orientation(*rows, rate=trial.rate, parameters=Parameters(sensor_delay=delay))
        for delay in (DELAY, 0.0)
    ]
    theirs = offlineVQF(*rows, *([] if magnetic else [None]), 1.0 / trial.rate)["quat9D" if magnetic else "quat6D"]
    return [*mine, theirs, led(theirs, rows[0])]


def broad() -> bool:
    """Print the scores of BROAD; return whether the goals were reached."""
    print(LEGEND)
    print(f"{'':36}" + "".join(f"{method:>27}" for method in METHODS))
    rows = []
    for place, trial in enumerate(trials("broad")):
        truth, moving = trial.rows("imu_ref_q", "wxyz"), trial.column("movement") > 0.5
        nine, six = (
            [orientation_score(q, truth, moving, trial.rate) for q in estimates(trial, "imu", m)] for m in (True, False)
        )
        rows.append(list(map(_figures, nine, six)))
        print(f"{trial.name[:33] + ' *' * (place % 2 == 0):36}{_line(rows[-1])}", flush=True)
    table = np.array(rows)
    for name, part in ((" *", table[::2]), ("", table[1::2]), (" of all", table)):
        print(f"{f'mean{name}':36}{_line(part.mean(axis=0))}")
    ours, theirs = table[:, 0], table[:, 2]
    better = bool((ours.mean(axis=0) < theirs.mean(axis=0)).all())
    worst = float((ours[:, 0] - theirs[:, 0]).max())
    print(f"goals: every mean below vqf offline: {better}; no total worse by {WORSE_BY:g}: {worst:+.2f} at most")
    return better and worst <= WORSE_BY


def _figures(nine: OrientationScore, six: OrientationScore) -> tuple[float, ...]:
    return nine.total, nine.heading, nine.inclination, six.aligned_heading, six.inclination


def _line(methods: object) -> str:
    return "".join(f"{t:8.2f}{h:5.2f}{i:5.2f}{a:5.2f}{s:5.2f}"[1:] for t, h, i, a, s in np.asarray(methods))


def song() -> bool:
    """Print the scores of two cheap 6-axis chips on a shaft; return whether ours is no worse in the first minute."""
    print(SONG)
    print(f"{'':16}" + "".join(f"{method:>16}" for method in METHODS))
    good = True
    for trial in trials("song_two_imu_encoder"):
        encoder, gyr = trial.column("encoder_deg"), trial.rows("child_gyr_")
        pairs = zip(*(estimates(trial, sensor, magnetic=False) for sensor in ("parent", "child")), strict=True)
        scores: list[HingeScore] = [hinge_score(*pair, encoder, gyr) for pair in pairs]
        print(
            f"{trial.name:16}" + "".join(f"{f'{s.first_minute:.2f} / {s.whole:.1f}':>16}" for s in scores), flush=True
        )
        good &= scores[0].first_minute <= scores[2].first_minute + 0.05
    print(f"goal: first minute not worse than vqf offline: {good}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="broad,song")
    options = parser.parse_args()
    parts: dict[str, Callable[[], bool]] = {"broad": broad, "song": song}
    good = True
    for name in options.only.split(","):
        if DATA.is_dir():
            good &= parts[name]()
            print()
        else:
            print(f"{name}: no data in {DATA}")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
