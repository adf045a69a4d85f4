"""Accuracy: simulated truth and public data, with vqf beside it in the same run.

Run ``python benchmarks/accuracy.py [--only simulated,broad,ideas,song,pearl,smoke] [--seeds N] [--minutes N]``; exit
code 1 if a goal is missed. The public data are looked for in ``../shared/data`` beside the repository, and left out
where absent.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from _public import DATA, broad, ideas, pearl, smoke, song
from _scores import PLANES, PlaneScore, SpineErrors, rms, spine_score
from _simulated import CALIBRATIONS, SCENARIOS, SETTLED_S, Outcome, Scenario, outcomes

import imuposture as ip

SCRIPTS = ("mixed_work", "one_sided")
MEAN_GOAL = {"lateral_bend": 1.5, "axial_rotation": 2.0}  # degrees: a one-sided worker's mean angles
HEADING_GOAL = 8.0  # degrees: 95th percentile of the relative heading's error
COVERAGE_GOALS = ((0.58, 0.78), (0.85, 1.0))  # share of rows within one and two reported standard deviations
LEGEND = """\
SIMULATED: {seeds} recordings of {minutes:g} min each, degrees; errors counted from the neutral stance, the first
{settled:g} s (calibration) not scored. mean: over recordings, in brackets the worst recording; 1 sd, 2 sd: share of
rows within the reported standard deviation (68 %, 95 % wanted); heading: error of the relative heading. vqf: each
sensor alone, 6-axis, in the segment frames we found, with the true heading in the last stance of the calibration."""


def simulated(
    seeds: int,
    minutes: float,
    scenarios: Sequence[Scenario] = SCENARIOS,
    first: int = 0,
    config: ip.Config | None = None,
    *,
    skin_told: bool = False,
) -> bool:
    """Print the table of simulated work; return whether every goal was reached."""
    config = config or ip.Config()
    print(LEGEND.format(seeds=seeds, minutes=minutes, settled=SETTLED_S))
    good = True
    for scenario in scenarios:
        if skin_told:
            config = replace(config, soft_tissue_sd_deg=scenario.sensor.soft_tissue_deg)
        for script in SCRIPTS:
            with tempfile.TemporaryDirectory() as folder:
                chosen = range(first, first + seeds)
                found = list(outcomes(scenario, script, chosen, minutes, Path(folder), config=config))
            for how in CALIBRATIONS:
                reached = _print_outcomes(scenario, f"{script}, calibration {how}", [one[how] for one in found])
                good &= reached or scenario.goal_rmse is None
    return good


def _print_outcomes(scenario: Scenario, what: str, found: list[Outcome]) -> bool:
    mine, theirs = [one.ours for one in found], [one.vqf for one in found if one.vqf is not None]
    truth = np.mean([one.truth_mean_deg for one in found], axis=0)
    print(
        f"\n{scenario.name}; {what}: heading RMSE {_heading(mine)[0]:.2f} (vqf {_heading(theirs)[0]:.2f}), p95 "
        f"{_heading(mine)[1]:.2f} (goal {HEADING_GOAL:g}); calibration usable in {sum(one.usable for one in found)} of "
        f"{len(found)}"
    )
    print(
        f"{'':16}{'truth':>7}{'RMSE':>7}{'p95':>7}{'mean':>8}{'(worst)':>9}{'1 sd':>7}{'2 sd':>7}{'missing':>9}"
        f"{'vqf RMSE':>11}{'p95':>7}{'mean':>7}   goals"
    )
    good = _heading(mine)[1] <= HEADING_GOAL
    for plane, name in enumerate(PLANES):
        score = spine_score(mine, plane)
        other = spine_score(theirs, plane) if theirs else PlaneScore(*[float("nan")] * 7)
        marks = list(_marks(scenario, score, plane, one_sided=what.startswith("one_sided")))
        good &= all(reached for _, reached in marks)
        print(
            f"{name:16}{truth[plane]:7.1f}{score.rmse:7.2f}{score.p95:7.2f}{score.mean:8.2f}"
            f"{f'({score.worst_mean:.2f})':>9}{score.within_1_sd:7.0%}{score.within_2_sd:7.0%}{score.missing:9.1%}"
            f"{other.rmse:11.2f}{other.p95:7.2f}{other.mean:7.2f}   "
            + ", ".join(f"{text} {'ok' if reached else 'MISSED'}" for text, reached in marks),
            flush=True,
        )
    return good


def _marks(scenario: Scenario, score: PlaneScore, plane: int, *, one_sided: bool) -> Iterator[tuple[str, bool]]:
    if scenario.goal_rmse is not None:
        yield f"RMSE <= {scenario.goal_rmse[plane]:g}", score.rmse <= scenario.goal_rmse[plane]
    for k, (low, high) in enumerate(COVERAGE_GOALS):
        share = (score.within_1_sd, score.within_2_sd)[k]
        yield f"{k + 1} sd {low:.0%}-{high:.0%}", low <= share <= high
    if one_sided and (most := MEAN_GOAL.get(PLANES[plane])):
        yield f"|mean| <= {most:g} in each", abs(score.worst_mean) <= most


def _heading(recordings: list[SpineErrors]) -> tuple[float, float]:
    """Return RMS and 95th percentile of the error of the relative heading, degrees."""
    errors = np.concatenate([one.heading_deg for one in recordings]) if recordings else np.empty(0)
    return (rms(errors), float(np.percentile(np.abs(errors), 95))) if len(errors) else (float("nan"), float("nan"))


def main(arguments: Sequence[str] | None = None) -> int:
    sections: dict[str, Callable[[], bool]] = {"broad": broad, "ideas": ideas, "song": song, "pearl": pearl}
    sections["smoke"] = smoke
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(["simulated", *sections]), help="sections, with commas between them")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument(
        "--first-seed", type=int, default=0, help="0 to 27 and 100 to 107 were tuned on; others are fresh"
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--scenarios", type=int, default=len(SCENARIOS), help="so many of them, the easiest first")
    parser.add_argument("--smoothed", action="store_true", help="simulated work with hindsight")
    parser.add_argument("--skin-told", action="store_true", help="how far the skin slides is known, not the default")
    options = parser.parse_args(arguments)
    sections["simulated"] = partial(
        simulated,
        options.seeds,
        options.minutes,
        SCENARIOS[: options.scenarios],
        first=options.first_seed,
        config=ip.Config(smoothed=options.smoothed),
        skin_told=options.skin_told,
    )
    wanted = options.only.split(",")
    if unknown := sorted(set(wanted) - set(sections)):
        parser.error(f"there is no section {unknown[0]!r}; choose from {', '.join(sections)}")
    good = True
    for section in wanted:
        if section != "simulated" and not DATA.is_dir():
            print(f"{section.upper()}: left out, there is no ../shared/data beside the repository\n")
            continue
        good &= sections[section]()
        print()
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
