"""Make recordings/: small simulated recordings in every format that is read, and what is true about them.

Run: ``make recordings``. The truth comes from the simulator, never from what the package makes of the files; the
simulator uses NumPy's sine and cosine, so the last digits may differ from machine to machine.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import imuposture as ip
from imuposture.acquisition.simulation.actions import bend, during, side_bend, sit, stand, twist, walk

FOLDER = Path(__file__).parents[1] / "recordings"
PLANES = ("flexion", "lateral_bend", "axial_rotation")
CALIBRATION = [
    stand(6, neutral=True),
    stand(1),
    during("flexion", [bend(60, reps=3)]),
    during("lateral", [side_bend(25, "right", reps=2), side_bend(25, "left", reps=2)]),
    stand(2),
]


def main() -> None:
    """Write the recordings and truth.json."""
    truth = {}
    demo = ip.simulate("demo", seed=1)
    demo.write(FOLDER / "demo.csv", decimals=4)
    truth["demo"] = told(demo)

    reach = [bend(80, hold=1), side_bend(30, "right", hold=1), side_bend(22, "left", hold=1)]
    turns = [twist(40, "right", hold=1), twist(32, "left", hold=1), stand(2)]
    rom = ip.simulate([*CALIBRATION, *reach, *turns], seed=2, rate=60.0)
    rom.write(FOLDER / "rom.csv", decimals=4)
    truth["rom"] = told(rom)

    # A worker whose bench stands to the right; no windows are named, so the calibration finds its own.
    one_sided = ip.simulate("one_sided", seed=3, rate=50.0, minutes=5)
    one_sided.write(FOLDER / "one_sided.parquet", windows=False)
    truth["one_sided"] = told(one_sided)

    dot = replace(ip.SensorModel.movella_dot(), magnetometer=False)
    seat = [sit(5, slouch=0.6), twist(35, "right", reps=2), side_bend(20, "left"), stand(2), walk(6), stand(2)]
    movella = ip.simulate([*CALIBRATION, *seat], seed=4, rate=60.0, upper=dot, lower=dot)
    movella.write_movella_dot(FOLDER / "movella_dot", first_tick=2**32 - 30_000_000)  # the counter wraps after 30 s
    (FOLDER / "movella_dot" / "recording.toml").replace(FOLDER / "movella_dot" / "movella_dot.toml")
    truth["movella_dot"] = told(movella)

    (FOLDER / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")


def told(simulation: ip.Simulation) -> dict[str, Any]:
    """Return what is true: the angles once a second, counted from the neutral stance, and the movements made."""
    every = round(simulation.rate_hz)
    angles = zip(PLANES, simulation.relative_to_stance(), strict=True)
    movements = [(event.plane, event.side) for event in simulation.movements]
    return {
        "rate_hz": simulation.rate_hz,
        "rows": len(simulation),
        "time_s": simulation.time_s[::every].tolist(),
        **{f"{name}_deg": np.round(values[::every], 2).tolist() for name, values in angles},
        "movements": [
            {"plane": plane, "side": side, "count": movements.count((plane, side))}
            for plane, side in dict.fromkeys(movements)
        ],
    }


if __name__ == "__main__":
    main()
