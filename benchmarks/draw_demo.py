"""Draw docs/demo.png: the spinal angles of recordings/demo.csv with their uncertainty, and the truth.

Run: ``make picture``.
"""

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np

import imuposture as ip

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
PLANES = {
    "flexion": "flexion\nforward +",
    "lateral_bend": "lateral bend\nright +",
    "axial_rotation": "axial rotation\nright +",
}


def main() -> None:
    """Process the recording and draw one panel a plane."""
    result = ip.process(ROOT / "recordings" / "demo.csv")
    truth = json.loads((ROOT / "recordings" / "truth.json").read_text(encoding="utf-8"))["demo"]
    time_s = column(result, "time_s")
    figure, panels = plt.subplots(3, 1, figsize=(10, 6), sharex=True, layout="constrained")
    for panel, (plane, label) in zip(panels, PLANES.items(), strict=True):
        angle, sd = column(result, f"{plane}_deg"), column(result, f"{plane}_sd_deg")
        panel.axhline(0, color="0.8", linewidth=0.8)
        panel.fill_between(time_s, angle - 2 * sd, angle + 2 * sd, color="tab:blue", alpha=0.2, linewidth=0)
        panel.plot(time_s, angle, color="tab:blue", linewidth=1.2)
        panel.plot(truth["time_s"], truth[f"{plane}_deg"], ".", color="black", markersize=2.5)
        panel.set(ylabel=f"{label}, deg", xlim=(0, time_s[-1]), ylim=(-50, 50))
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("time, s   (line: measured, band: two standard deviations, dots: true angle)")
    figure.savefig(ROOT / "docs" / "demo.png", dpi=90, metadata={"Software": None})


def column(result: ip.Result, name: str) -> np.ndarray:
    """Return a column of the posture rows; null is NaN."""
    return result.posture[name].to_numpy().astype(np.float64)


if __name__ == "__main__":
    main()
