"""Every entry to compiled code: whatever comes, it is taken, or refused with one of our errors; nothing ever crashes.

The compiled halves check nothing. Run on the builds with bounds checks and with sanitizers (.ci/run), these tests also
say that nothing reads or writes beyond an array.
"""

import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from odd_input import ROWS, good, laid_out, odd_arrays, odd_numbers

import imuposture as ip
from imuposture._blocks import HeadingBlock, ImuBlock, OrientationBlock, PairBlock, PostureBlock, SensorRows, Stream
from imuposture._errors import ImuPostureError
from imuposture.alignment import Alignment
from imuposture.calibration import Calibration, Mounting, calibrate
from imuposture.filtering import LowPass
from imuposture.fusion import Fusion, Parameters, fuse, orientation
from imuposture.heading import Heading, HeadingSettings
from imuposture.kinematics import Kinematics, Spread
from imuposture.metrics import MetricContext, MetricSet

QUICK = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # what is drawn is plain to see; shrinking it takes minutes
    suppress_health_check=[HealthCheck.too_slow],
)
RATE = 100.0
ACC, GYR, MAG = np.add(good(3, 7), (0.0, 0.0, 9.81)), good(3, 8), np.add(good(3, 9), (20.0, 0.0, -40.0))
NO_FLAGS = np.zeros(ROWS, np.uint8)
TIME = np.arange(ROWS) / RATE
MOUNTING = Mounting(np.eye(3), 0.05, np.zeros(3))
CALIBRATION = Calibration(True, MOUNTING, MOUNTING, {"neutral": ((0.0, 0.1),)}, False, 2.0, ())


def rows(**changed):
    return SensorRows(**({"acc": ACC, "gyr": GYR, "mag": MAG, "flags": NO_FLAGS} | changed))


def unit_quats(seed):
    quats = good(4, seed)
    return quats / np.linalg.norm(quats, axis=1, keepdims=True)


def oriented(**changed):
    no = np.zeros(ROWS, np.bool_)
    whole = {"quat": unit_quats(1), "bias": 0.01 * good(3, 2), "rest": no, "disturbed": no}
    return OrientationBlock(**(whole | changed))


def posture(**changed):
    columns = {one.name: good(1, i) for i, one in enumerate(fields(PostureBlock))}
    quats = {"upper_q": unit_quats(1), "lower_q": unit_quats(2)}
    return PostureBlock(
        **(columns | quats | {"time_s": TIME, "quality": NO_FLAGS, "heading_state": NO_FLAGS} | changed)
    )


def streams(**changed):
    stream = Stream("upper", RATE)
    return [replace(stream, **changed), Stream("lower", RATE)]


def aligned(block, **changed):
    stage = Alignment(streams(**changed))
    stage.push(block)
    stage.push(ImuBlock("lower", TIME, ACC, GYR))
    return stage.finish()


def walked(block):
    pipeline = ip.Pipeline(Alignment(streams()), CALIBRATION)
    pipeline.push(ImuBlock("lower", TIME, ACC, GYR, MAG))
    pipeline.push(block)
    return pipeline.finish()


def block(**changed):
    return ImuBlock(**({"role": "upper", "ticks": TIME, "acc": ACC, "gyr": GYR, "mag": MAG} | changed))


def related(**changed):
    whole = {"pair": PairBlock(TIME, rows(), rows()), "smooth": good(6), "upper": oriented(), "lower": oriented()}
    return Heading(RATE).push(**(whole | changed))


def bent(**changed):
    heading = HeadingBlock(good(1, 3), abs(good(1, 4)), NO_FLAGS)
    whole = {"time_s": TIME, "upper": oriented(), "lower": oriented(), "heading": heading, "quality": NO_FLAGS}
    return Kinematics(Spread(0.005, 0.05, 0.05, 0.007)).push(**(whole | changed))


def measured(posture):
    metrics = MetricSet(MetricContext(RATE))
    metrics.push(posture)
    return metrics.finish()


ARRAYS = {
    "orientation gyr": (3, lambda x: orientation(x, ACC, MAG, rate=RATE)),
    "orientation acc": (3, lambda x: orientation(GYR, x, rate=RATE)),
    "orientation mag": (3, lambda x: orientation(GYR, ACC, x, rate=RATE)),
    "orientations gyr": (3, lambda x: orientation([GYR, x], [ACC, ACC], rate=RATE)),
    "orientations acc": (3, lambda x: orientation([GYR, GYR], [x, ACC], rate=RATE)),
    "orientations mag": (3, lambda x: orientation([GYR, GYR], [ACC, ACC], [x, MAG], rate=RATE)),
    "orientations, one list": (3, lambda x: orientation([GYR, GYR], [ACC, ACC], x, rate=RATE)),
    "fusion gyr": (3, lambda x: Fusion(RATE).push(rows(gyr=x))),
    "fusion acc": (3, lambda x: Fusion(RATE, magnetometer=True).push(rows(acc=x))),
    "fusion mag": (3, lambda x: Fusion(RATE, magnetometer=True).push(rows(mag=x))),
    "fusion flags": (1, lambda x: Fusion(RATE).push(rows(flags=x))),
    "fuse": (3, lambda x: fuse([Fusion(RATE), Fusion(RATE)], [rows(gyr=x), rows()])),
    "low-pass rows": (3, lambda x: LowPass(3.0, RATE).push(x, NO_FLAGS)),
    "low-pass gaps": (1, lambda x: LowPass(3.0, RATE).push(GYR, x)),
    "heading gyr": (3, lambda x: related(pair=PairBlock(TIME, rows(gyr=x), rows()))),
    "heading time": (1, lambda x: related(pair=PairBlock(x, rows(), rows()))),
    "heading smooth": (6, lambda x: related(smooth=x)),
    "heading quat": (4, lambda x: related(upper=oriented(quat=x))),
    "heading bias": (3, lambda x: related(lower=oriented(bias=x))),
    "heading magnetic": (1, lambda x: related(magnetic=x)),
    "heading start": (1, lambda x: Heading(RATE, bias=x)),
    "kinematics time": (1, lambda x: bent(time_s=x)),
    "kinematics upper": (4, lambda x: bent(upper=oriented(quat=x))),
    "kinematics lower": (4, lambda x: bent(lower=oriented(quat=x))),
    "kinematics delta": (1, lambda x: bent(heading=HeadingBlock(x, good(1), NO_FLAGS))),
    "kinematics sd": (1, lambda x: bent(heading=HeadingBlock(good(1), x, NO_FLAGS))),
    "kinematics quality": (1, lambda x: bent(quality=x)),
    "alignment ticks": (1, lambda x: aligned(block(ticks=x))),
    "alignment acc": (3, lambda x: aligned(block(acc=x))),
    "alignment mag": (3, lambda x: aligned(block(mag=x))),
    "alignment flags": (1, lambda x: aligned(block(flags=x))),
    "pipeline ticks": (1, lambda x: walked(block(ticks=x))),
    "pipeline gyr": (3, lambda x: walked(block(gyr=x))),
    "pipeline mag": (3, lambda x: walked(block(mag=x))),
    "calibrate": (3, lambda x: calibrate(PairBlock(TIME, rows(acc=x), rows()), RATE)),
    "calibration": (3, lambda x: CALIBRATION.apply(PairBlock(TIME, rows(), rows(mag=x)))),
    "mounting axes": (3, lambda x: Mounting(x, 0.1, np.zeros(3)).apply(rows())),
    "mounting bias": (1, lambda x: Mounting(np.eye(3), 0.1, x).segment_bias()),
    "metrics angle": (1, lambda x: measured(posture(flexion_deg=x))),
    "metrics sd": (1, lambda x: measured(posture(lateral_bend_sd_deg=x))),
    "metrics lean": (1, lambda x: measured(posture(trunk_inclination_deg=x))),
    "metrics time": (1, lambda x: measured(posture(time_s=x))),
    "metrics quality": (1, lambda x: measured(posture(quality=x))),
}


def taken_or_refused(entry, value):
    """Return the result, or None where one of our errors refuses the value in words; anything else is a bug."""
    try:
        return entry(value)
    except ImuPostureError as error:
        message = str(error)
    assert message.isprintable()
    assert 10 < len(message) < 2000
    return None


@pytest.mark.parametrize("name", ARRAYS)
@QUICK
@given(data=st.data())
def test_any_array_is_taken_or_refused(name, data):
    width, entry = ARRAYS[name]
    value = data.draw(odd_arrays(width))
    with warnings.catch_warnings():
        # What overflows in pure NumPy behind the check is a NaN in the result, which is allowed.
        warnings.filterwarnings("ignore", "(overflow|invalid value) encountered", RuntimeWarning)
        taken_or_refused(entry, value)


def same(one, other):
    """Compare whatever entries return, bit for bit."""
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif hasattr(one, "__dataclass_fields__"):
        for field in fields(one):
            same(getattr(one, field.name), getattr(other, field.name))
    else:
        assert repr(one) == repr(other)


NUMERIC = [name for name in ARRAYS if not any(word in name for word in ("flags", "gaps", "quality", "start", "axes"))]
PLAIN_ROWS = [name for name in NUMERIC if name not in ("mounting bias", "orientations, one list")]


@pytest.mark.parametrize("name", PLAIN_ROWS)
def test_how_numbers_lie_in_memory_changes_nothing(name):
    width, entry = ARRAYS[name]
    array = TIME.copy() if name.endswith(("time", "ticks")) else good(width, 5)
    wanted = entry(array.copy())
    for other in laid_out(array):
        before = np.array(other)
        found = taken_or_refused(entry, other)
        if found is not None:
            same(found, wanted)
        np.testing.assert_array_equal(np.array(other), before, err_msg="the input was written to")


NUMBERS = {
    "orientation": lambda x: orientation(GYR, ACC, rate=x),
    "fusion": lambda x: Fusion(x).push(rows()),
    "fusion parameter": lambda x: Fusion(RATE, Parameters(acc_tau=x)).push(rows()),
    "low-pass rate": lambda x: LowPass(3.0, x).push(GYR, NO_FLAGS),
    "low-pass cutoff": lambda x: LowPass(x, RATE).push(GYR, NO_FLAGS),
    "heading rate": Heading,
    "heading setting": lambda x: Heading(RATE, HeadingSettings(limit_deg=x)),
    "heading facing": lambda x: Heading(RATE, facing_sd=x),
    "heading neutral": lambda x: Heading(RATE, None, [(0.0, 3.0), (5.0, 8.0)], neutral_sd=x),
    "heading stance": lambda x: Heading(RATE, None, [(0.0, 3.0), (5.0, x)], neutral_sd=0.1),
    "kinematics spread": lambda x: Kinematics(Spread(0.01, x, 0.1, 0.01)),
    "alignment rate": lambda x: aligned(block(mag=None), rate_hz=x),
    "alignment tick": lambda x: aligned(block(mag=None), tick_s=x),
    "alignment wrap": lambda x: aligned(block(mag=None), wrap_ticks=x),
    "alignment start": lambda x: aligned(block(mag=None), start_s=x),
    "alignment scale": lambda x: aligned(block(mag=None), gyr_full_scale=x),
    "alignment gap": lambda x: Alignment(streams(), x),
    "calibrate rate": lambda x: calibrate(PairBlock(TIME, rows(), rows()), x),
    "metrics rate": MetricContext,
    "config": lambda x: ip.Config(smoothing_hz=x),
    "simulate rate": lambda x: len(ip.simulate("still", minutes=0.02, rate=x)),
    "simulate seed": lambda x: len(ip.simulate("still", minutes=0.02, seed=x)),
    "simulate minutes": lambda x: ip.simulate("still", minutes=x).rate_hz,
}


@pytest.mark.parametrize("name", NUMBERS)
@QUICK
@given(value=odd_numbers)
def test_any_number_is_taken_or_refused(name, value):
    taken_or_refused(NUMBERS[name], value)


@pytest.mark.parametrize("name", [name for name in NUMBERS if "rate" in name or name in ("orientation", "fusion")])
@pytest.mark.parametrize("rate", [0, -100.0, np.nan, np.inf, -np.inf, "100", None, True, 1e300, 1j])
def test_a_rate_that_is_none_is_refused(name, rate):
    """The vqf package ends the interpreter at a negative sampling time; nothing of ours may even start."""
    with pytest.raises(ImuPostureError):
        NUMBERS[name](rate)


def test_recordings_with_and_without_magnetometer_are_no_list():
    with pytest.raises(ip.SignalError, match="every recording of the list, or for none"):
        orientation([GYR, GYR], [ACC, ACC], [None, MAG], rate=RATE)
    with pytest.raises(ip.SignalError, match="every recording of the list, or for none"):
        orientation([GYR, GYR], [ACC, ACC], [MAG, None], rate=RATE)


def test_a_magnetometer_that_comes_later_is_refused():
    stage = Alignment(streams())
    stage.push(block(mag=None))
    with pytest.raises(ip.SignalError, match="comes or goes"):
        stage.push(block(ticks=TIME + 1.0))


def test_flags_beyond_a_byte_are_no_flags():
    """256 as a byte is 0: a gap would become a row."""
    with pytest.raises(ip.SignalError, match="between 0 and 255"):
        Fusion(RATE).push(rows(flags=np.full(ROWS, 257)))


def test_masked_values_are_not_taken_for_measured_ones():
    masked = np.ma.masked_array(GYR, mask=GYR > 1.0)
    with pytest.raises(ip.SignalError, match="masked"):
        orientation(masked, ACC, rate=RATE)


@st.composite
def wild_signals(draw):
    """Draw finite signals of any size within what is accepted, rest, zeros and sudden turns."""
    scale = st.sampled_from([0.0, 5e-324, 1e-200, 1e-9, 1.0, 40.0, 1e4, 1e9])
    signs = np.random.default_rng(draw(st.integers(0, 99))).uniform(-1, 1, (200, 9))
    scales = np.array(draw(st.lists(scale, min_size=8, max_size=8)))
    signal = np.repeat(scales, 25)[:, None] * signs
    return signal[:, :3], signal[:, 3:6], signal[:, 6:]


@QUICK
@given(
    signals=wild_signals(), rate=st.sampled_from([1.0, 7.3, 100.0, 20_000.0]), named=st.sampled_from(["default", "vqf"])
)
def test_whatever_is_accepted_gives_unit_quaternions(signals, rate, named):
    gyr, acc, mag = signals
    for quat in (orientation(gyr, acc, rate=rate, parameters=named), orientation(gyr, acc, mag, rate=rate)):
        np.testing.assert_allclose(np.sum(quat * quat, axis=1), 1.0, rtol=0, atol=1e-9)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e12])
def test_a_refused_block_moves_no_filter(wrong):
    smooth = good(6)
    smooth[5, 2] = wrong
    low_pass, untouched = LowPass(3.0, RATE), LowPass(3.0, RATE)
    with pytest.raises(ip.SignalError, match="row 5"):
        low_pass.push(smooth, NO_FLAGS)
    same(low_pass.push(good(6), NO_FLAGS), untouched.push(good(6), NO_FLAGS))
    one, other = Heading(RATE), Heading(RATE)
    pair = PairBlock(TIME, rows(), rows())
    with pytest.raises(ip.SignalError, match=r"smooth holds .* in row 5"):
        one.push(pair, smooth, oriented(), oriented())
    same(one.push(pair, good(6), oriented(), oriented()), other.push(pair, good(6), oriented(), oriented()))
