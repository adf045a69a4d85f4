"""The tuning numbers of the orientation filter, and the sets of them that have a name."""

from dataclasses import asdict, dataclass
from math import radians

from imuposture._errors import ConfigError

__all__ = ["Parameters"]

SWITCHES = ("mag_turn_time", "field_standing_time", "sensor_delay")  # zero turns these ideas off


@dataclass(frozen=True)
class Parameters:
    """Every tuning number of the filter.

    The filter is VQF 2.1.2; the symbols are those of Laidig and Seel, Information Fusion 91 (2023) 187-204, from where
    all defaults come that are not said to be ours. What ours do, and on which data: ``docs/orientation.md``.

    Attributes
    ----------
    acc_tau : float, s
        tau_acc, time constant of the acceleration's low-pass. Small trusts the accelerometer (movement leaks into
        the inclination), large the gyroscope (its bias does). Default 3.
    mag_tau : float, s
        tau_mag, time constant of the heading's correction. Small trusts the magnetometer, large the gyroscope.
        Default 9.
    mag_turn_time : float, s
        A turn by one radian in this time halves the heading's correction, because a magnetometer that answers late
        points behind. Small uses it in fast turns too, large leaves those to the gyroscope. Default 0.125, ours; VQF
        corrects alike in any turn, 0.
    bias_sigma_start : float, rad/s
        Standard deviation of the gyroscope bias before the first row. Small learns slowly at first, large believes
        the first movements. Default 0.5 deg/s.
    bias_forgetting_time : float, s
        Time in which the uncertainty of a bias nobody measures grows from 0 to 0.1 deg/s. Small follows a
        changing bias and its noise, large averages longer. Default 100.
    bias_limit : float, rad/s
        Largest bias a sensor can have: the estimate stays within, and no faster turn counts as rest. Small takes a
        bad sensor's bias for motion, large takes slow steady turns for bias. Default 2 deg/s.
    bias_sigma_motion : float, rad/s
        Standard deviation of the bias learnt in motion alone, once converged. Small learns fast and noisily, large
        slowly. Default 0.1 deg/s.
    bias_vertical_weight : float, 1
        Weight of the assumption that the bias about the vertical, which motion cannot show, is zero. Small keeps
        what rest taught, large forgets it. Default 1e-4.
    bias_sigma_rest : float, rad/s
        Standard deviation of the bias learnt at rest, once converged. Small learns fast, large slowly. Default
        0.03 deg/s.
    rest_min_time : float, s
        How long the sensor must lie still to be at rest. Small takes a pause in a slow turn for rest, large misses
        short rests. Default 1.5.
    rest_tau : float, s
        Time constant of the low-pass against which stillness is judged. Small lets slow motion pass as rest, large
        sees rest late. Default 0.5.
    rest_gyr : float, rad/s
        Deviation from that low-pass beyond which the gyroscope moves. Small finds no rest in a noisy sensor, large
        finds it in motion. Default 2 deg/s.
    rest_acc : float, m/s2
        The same for the accelerometer. Default 0.5.
    field_tau : float, s
        Time constant of the low-pass on norm and dip of the field. Small passes noise, large reacts late. Default
        0.05.
    field_reference_tau : float, s
        Time constant with which the reference follows an undisturbed field. Small follows a disturbance that grows
        slowly, large a wrong start for long. Default 20.
    field_norm_tolerance : float, 1
        Share of the reference's norm by which an undisturbed field may differ. Small rejects good fields, large
        accepts bad ones. Default 0.1.
    field_dip_tolerance : float, rad
        Difference in dip, likewise. Default 10 deg.
    field_new_time : float, s
        Time in motion after which another, constant field becomes the reference. Small believes the next magnet,
        large stays with an old room. Default 20.
    field_first_time : float, s
        The same for the first reference. Default 5.
    field_standing_time : float, s
        How long a field must stand to be used before there is any reference. Small lets a magnet that comes near turn
        the first heading, large leaves it to the gyroscope. Default 0.2, ours; VQF uses all, 0.
    field_min_rate : float, rad/s
        Rate of turn from which time counts as motion here. Small believes fields seen from one side only, large
        never finds a reference in calm use. Default 20 deg/s.
    field_undisturbed_time : float, s
        How long a field must look right to be trusted again. Small trusts a disturbance that crosses the reference,
        large loses good rows. Default 0.5.
    field_reject_time : float, s
        How long a disturbed field is ignored altogether; afterwards it corrects slowly. Small follows
        disturbances, large drifts with the gyroscope. Default 60.
    field_reject_factor : float, 1
        By how much slower the correction is then, and how much faster undisturbed time earns back patience. Default 2.
    sensor_delay : float, s
        How late the rows say what the sensor did, chiefly by the low-pass in its chip, less half a period for what
        integrating adds; the orientation is carried on by so much at the present rate of turn. Small leaves it behind
        in fast turns, large overshoots when they stop. Default 0.002, ours, between sensors that integrate themselves
        (0) and chips with a low-pass of 100 Hz (0.0024 measured); VQF has 0.
    turn_invariant : bool
        What is learnt about the bias does not depend on the arbitrary heading of the first row: levelling that row
        teaches nothing, and corrections are limited by their length, not axis by axis. So mirrored motion gives the
        mirrored angles. False is what the vqf package does. Default True.
    """

    acc_tau: float = 3.0
    mag_tau: float = 9.0
    mag_turn_time: float = 0.125
    bias_sigma_start: float = radians(0.5)
    bias_forgetting_time: float = 100.0
    bias_limit: float = radians(2.0)
    bias_sigma_motion: float = radians(0.1)
    bias_vertical_weight: float = 1e-4
    bias_sigma_rest: float = radians(0.03)
    rest_min_time: float = 1.5
    rest_tau: float = 0.5
    rest_gyr: float = radians(2.0)
    rest_acc: float = 0.5
    field_tau: float = 0.05
    field_reference_tau: float = 20.0
    field_norm_tolerance: float = 0.1
    field_dip_tolerance: float = radians(10.0)
    field_new_time: float = 20.0
    field_first_time: float = 5.0
    field_standing_time: float = 0.2
    field_min_rate: float = radians(20.0)
    field_undisturbed_time: float = 0.5
    field_reject_time: float = 60.0
    field_reject_factor: float = 2.0
    sensor_delay: float = 0.002
    turn_invariant: bool = True

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) and name == "turn_invariant":
                continue
            number = not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value < 1e9
            if not number or (value == 0 and name not in SWITCHES):
                raise ConfigError(f"fusion parameter {name} must be a positive number below 1e9, got {value!r}")

    @classmethod
    def named(cls, name: str) -> "Parameters":
        """Return the set ``"default"``, ours, or ``"vqf"``, that of the vqf package.

        Raises
        ------
        ConfigError
            If there is no set of that name.
        """
        if name not in list(NAMED):
            raise ConfigError(f"there is no parameter set {name!r}; choose {' or '.join(map(repr, NAMED))}")
        return NAMED[name]


NAMED = {
    "default": Parameters(),
    "vqf": Parameters(mag_turn_time=0.0, field_standing_time=0.0, sensor_delay=0.0, turn_invariant=False),
}
