"""Exposure, breaks, changes of posture and states against what simulated people really did: figures beside targets.

Run ``python benchmarks/metrics_exposure.py [--seeds N] [--first-seed N] [--minutes N] [--only PART]``. Sensors are
worn anyhow (30 degrees), with bias, noise and 2 degrees of soft tissue; nobody stands the same way twice. Two parts:

shares  mixed and one-sided work: shares of time beyond limits and in classes, from the own neutral stance as their
        definitions say. Those of inclination, bend and rotation beside plain NumPy on the true angles; those of the
        threshold sets beside the same metric fed with the true angles, so that they differ by the angles alone.
day     desks, benches, walks and breaks: numbers of breaks and of changes of posture beside those of the script, and
        what every second was called. Changes are clear ones: 12 degrees of the spine and more; who slouched a little
        less than 5 degrees more than before and who a little more is for nobody to say.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
from metrics_movements import line, made_of

import imuposture as ip
from imuposture._blocks import Event, FloatArray, PostureBlock
from imuposture.acquisition.simulation import Truth
from imuposture.acquisition.simulation import actions as do
from imuposture.acquisition.simulation.scripts import calibration
from imuposture.metrics import MetricContext, MetricSet

POINTS = 1.0  # a share may be off by this much
NEAR_DEG = 2.0  # what the sensors are known within; time that lies nearer to a limit is decided by it
LIMITS = (20.0, 45.0, 60.0, 90.0)
ON_FEET = ("standing", "walking")
BREAK_S, SPELL_S, PAUSE_S = 60.0, 60.0, 5.0
CHANGE_DEG, KEPT_S = 5.0, 8.0
BOTH_WAYS = (*LIMITS, *(-limit for limit in LIMITS))
QUANTITIES = {
    "inclination beyond 20 to 90": (("trunk_inclination_deg",), (*LIMITS, -20.0)),
    "bend and rotation beyond 20 to 90": (("lateral_bend_deg", "axial_rotation_deg"), BOTH_WAYS),
    "inclination below 0": (("trunk_inclination_deg",), (0.0,)),
}
Shares = dict[tuple[str, str | None, str | None], float]


def shares(seeds: range, minutes: float) -> None:
    """Score shares of time."""
    errors: dict[str, list[dict[str, float]]] = defaultdict(list)
    near: dict[str, list[float]] = defaultdict(list)
    clear: dict[str, list[float]] = defaultdict(list)
    for script in ("mixed_work", "one_sided"):
        for seed in seeds:
            back, result = made_of(script, seed, minutes=minutes)
            truth = back.relative_to_stance()
            found = {(r["metric"], r["plane"], r["side"]): r["value"] for r in result.summary.to_pylist()}
            plain, same = _plain(truth), _same_definitions(back, truth)
            for name, known in (*plain.items(), *same.items()):
                errors[name].append({_called(key): abs(found[key] - share) for key, share in known.items()})
            for name, (angles, limits) in QUANTITIES.items():
                there = np.stack([getattr(truth, angle) for angle in angles])
                rows = np.stack([result.posture[angle].to_numpy().astype(np.float64) for angle in angles])
                close = np.any([np.abs(there - limit) < NEAR_DEG for limit in limits], axis=0)
                near[name].append(100.0 * float(close.mean()))
                clear[name].append(max(_wrong(there, rows, limit) for limit in limits))
    for name, seen in errors.items():
        worst = np.array([max(one.values()) for one in seen])
        every = np.array([error for one in seen for error in one.values()])
        spread = f"{np.median(every):.2f} / {np.percentile(every, 95):.2f} / {every.max():.2f}"
        inside = float((worst <= POINTS).mean())
        line(f"{name}: recordings with all within 1 point ({len(worst)})", f"{inside:.3f}", "1.000", inside == 1.0)
        print(f"    points off, median / 95 % / most: {spread}{_near_text(near.get(name))}")
        beyond = Counter(what for one in seen for what, error in one.items() if error > POINTS)
        if beyond:
            print(f"    more than 1 point off: {', '.join(f'{what} {n} times' for what, n in beyond.most_common())}")
        if name in clear:
            inside = float((np.array(clear[name]) <= POINTS).mean())
            line("    the same, of time not within 2 degrees of the limit", f"{inside:.3f}", "1.000", inside == 1.0)


def _called(key: tuple[str, str | None, str | None]) -> str:
    return " ".join(part for part in key if part)


def _near_text(near: list[float] | None) -> str:
    if near is None:
        return ""
    return f"; {np.mean(near):.1f} % of the time lies within {NEAR_DEG:g} degrees of a limit"


def _wrong(true: FloatArray, found: FloatArray, limit: float) -> float:
    """Return the share of time, in percent, that is clear of a limit and was seen on its other side."""
    wrong = ((found > limit) != (true > limit)) & (np.abs(true - limit) >= NEAR_DEG) & np.isfinite(found)
    return float(100.0 * wrong.mean(axis=1).max())


def _plain(truth: Truth) -> dict[str, Shares]:
    """Return the true shares without any code of the package."""
    lean = truth.trunk_inclination_deg
    inclined: Shares = {(f"share_above_{limit:g}deg", None, None): 100.0 * (lean > limit).mean() for limit in LIMITS}
    inclined["share_below_-20deg", None, None] = 100.0 * (lean < -20.0).mean()
    sided: Shares = {}
    for plane in ("lateral_bend", "axial_rotation"):
        angle: FloatArray = getattr(truth, f"{plane}_deg")
        for side, towards in (("right", angle), ("left", -angle)):
            sided |= {(f"share_above_{limit:g}deg", plane, side): 100.0 * (towards > limit).mean() for limit in LIMITS}
    upright: Shares = {("share_below_0deg", None, None): 100.0 * (lean < 0.0).mean()}
    return {
        "inclination beyond 20 to 90": inclined,
        "bend and rotation beyond 20 to 90": sided,
        "inclination below 0": upright,
    }


def _same_definitions(back: ip.Simulation, truth: Truth) -> dict[str, Shares]:
    """Return the shares that the metrics find in the true angles."""
    metrics = MetricSet(MetricContext(back.rate_hz), ["classes"])
    metrics.push(_rows(back, truth))
    shares: dict[str, Shares] = defaultdict(dict)
    for figure in metrics.finish().summary:
        if figure.unit == "%" and figure.value is not None and figure.definition.startswith("exposure.class"):
            shares[figure.definition.partition("@")[2]][figure.metric, figure.plane, figure.side] = figure.value
    return shares


def _rows(back: ip.Simulation, truth: Truth) -> PostureBlock:
    """Return the truth as rows of which every angle is known exactly."""
    columns: dict[str, Any] = {member.name: np.zeros(len(back)) for member in fields(PostureBlock)}
    columns |= {"quality": np.zeros(len(back), np.uint8), "heading_state": np.zeros(len(back), np.uint8)}
    columns |= {name: getattr(truth, name) for name in columns if hasattr(truth, name)}
    return PostureBlock(**columns | {"time_s": back.time_s})


def day(seeds: range) -> None:
    """Score breaks, changes of posture and states."""
    exact: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    told: dict[str, list[str]] = defaultdict(list)
    for seed in seeds:
        script = [*calibration(), *_day(np.random.default_rng([seed, 79]))]
        back, result = made_of(script, seed)
        begin = max(end for spans in back.windows.values() for _, end in spans)
        events = [Event(e["kind"], e["start_s"], e["end_s"]) for e in result.events.to_pylist()]
        for kind, true in (("break", _breaks(back.states)), ("posture_change", _changes(back))):
            wanted = [event for event in true if event.start_s >= begin]
            found = [event for event in events if event.kind == kind and event.start_s >= begin - 1.0]
            lost, invented = _apart(wanted, found)
            exact[kind] += not lost and not invented
            seconds[f"made {kind}"] += len(wanted)
            told[kind] += [f"seed {seed}: not seen at {e.start_s:.0f} s" for e in lost]
            told[kind] += [f"seed {seed}: none at {e.start_s:.0f} to {e.end_s:.0f} s" for e in invented]
        exact["bouts"] += _order(back.states, begin) == _order(events, begin)
        seconds += _named(back.states, events, begin)
    for kind, name in (("break", "breaks"), ("posture_change", "changes of posture")):
        share = exact[kind] / len(seeds)
        line(f"{name}: recordings exact ({seconds[f'made {kind}']} made)", f"{share:.3f}", "1.000", share == 1.0)
        print(*(f"    {what}" for what in told[kind]), sep="\n", end="\n" if told[kind] else "")
    print(f"{'bouts of 10 s and more, names and order: recordings exact':58} {exact['bouts'] / len(seeds):24.3f}")
    for state in ("sitting", "standing", "walking", "lying"):
        there = sum(n for what, n in seconds.items() if what.startswith(f"{state}:"))
        right, unnamed = seconds[f"{state}:{state}"], seconds[f"{state}:"]
        figure = f"{right / there:.3f}, {(there - right - unnamed) / there:.3f}" if there else "none"
        print(f"{f'seconds of {state} named right, wrong ({there})':58} {figure:>24}")


def _day(rng: np.random.Generator) -> Iterator[do.Action]:
    """Yield a working day in small: desks, and what comes between them."""
    slouches = (0.35, 0.85)
    for _ in range(8):
        first = int(rng.integers(2))
        for which in (first, 1 - first)[: int(rng.integers(1, 3))]:
            yield do.sit(float(rng.uniform(35, 70)), slouch=slouches[which] + float(rng.uniform(-0.05, 0.05)))
            for _ in range(int(rng.integers(0, 3))):
                yield do.twist(float(rng.uniform(25, 40)), "right" if rng.random() < 0.5 else "left", rest=2.0)
            yield do.hold(float(rng.uniform(10, 30)))
        kind = rng.choice(["break", "errand", "stand", "lean", "lie"], p=[0.4, 0.25, 0.15, 0.1, 0.1])
        if kind == "break":
            yield do.walk(float(rng.uniform(35, 60)))
            yield do.turn(float(rng.uniform(-150, 150)))
            yield do.walk(float(rng.uniform(35, 60)))
        elif kind == "errand":
            yield do.walk(float(rng.uniform(12, 45)))
        elif kind == "stand":
            yield do.stand(float(rng.uniform(15, 45)))
        elif kind == "lean":
            yield do.lean(float(rng.uniform(15, 45)), float(rng.uniform(10, 30)), axial_rotation=20.0)
        else:
            yield do.lie(float(rng.uniform(40, 80)))
    yield do.sit(40.0, slouch=slouches[0])


def _breaks(states: list[Event]) -> list[Event]:
    """Return the breaks of a script by their definition: a minute on one's feet after a minute without."""
    runs: list[Event] = []
    for event in states:
        if event.kind in ON_FEET:
            joins = runs and event.start_s - runs[-1].end_s < PAUSE_S
            start = runs.pop().start_s if joins else event.start_s
            runs.append(Event("break", start, event.end_s))
    found, since = [], 0.0
    for run in runs:
        off = [(max(e.start_s, since), min(e.end_s, run.start_s)) for e in states if e.kind not in ON_FEET]
        quiet = sum(max(0.0, end - start) for start, end in off)
        if run.end_s - run.start_s >= BREAK_S and quiet >= SPELL_S:
            found.append(run)
            since = run.end_s
    return found


def _changes(back: ip.Simulation) -> list[Event]:
    """Return the changes of the spine's posture that were kept, from one move of the script to the next one."""
    moves = back.posture_changes
    ends = [*(event.start_s for event in moves[1:]), back.duration_s]
    return [
        event
        for event, end in zip(moves, ends, strict=True)
        if event.details["spine_deg"] >= CHANGE_DEG and end - event.end_s >= KEPT_S
    ]


def _apart(true: list[Event], found: list[Event]) -> tuple[list[Event], list[Event]]:
    """Return what was not seen, and what was not there."""
    left, lost = list(found), []
    for event in true:
        near = [one for one in left if one.start_s <= event.end_s + 2.0 and one.end_s >= event.start_s - 2.0]
        if near:
            left.remove(near[0])
        else:
            lost.append(event)
    return lost, left


def _order(events: list[Event], begin: float) -> list[str]:
    """Return the states of 10 s and more one after the other, after the calibration."""
    kinds = ("sitting", "standing", "walking", "lying_supine")
    bouts = [e.kind for e in events if e.kind in kinds and e.start_s >= begin - 1.0 and e.end_s - e.start_s >= 10.0]
    return [kind for kind, before in zip(bouts, [None, *bouts], strict=False) if kind != before]


def _named(states: list[Event], events: list[Event], begin: float) -> Counter[str]:
    """Count the true seconds of each state by what they were called; by nothing where no bout has them."""
    seconds: Counter[str] = Counter()
    for true in states:
        if true.start_s < begin:
            continue
        state = true.kind.partition("_")[0]
        for second in np.arange(np.ceil(true.start_s), np.floor(true.end_s)):
            bouts = [e.kind for e in events if e.start_s <= second + 0.5 < e.end_s and e.kind in BOUTS]
            seconds[f"{state}:{bouts[0].partition('_')[0] if bouts else ''}"] += 1
    return seconds


BOUTS = ("sitting", "standing", "walking", "lying_supine", "lying_prone", "lying_right", "lying_left")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=100, help="below 100: tuned on")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--only", choices=("shares", "day"))
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    if given.only in (None, "shares"):
        shares(seeds, given.minutes)
    if given.only in (None, "day"):
        day(seeds)


if __name__ == "__main__":
    main()
