"""What a profile says, in plain types: for ``imuposture check PROFILE.toml``."""

from pathlib import Path

from imuposture.acquisition.drivers.declarative.driver import ProfileDriver, load_profile
from imuposture.acquisition.drivers.declarative.matching import words
from imuposture.acquisition.drivers.declarative.profile import Profile
from imuposture.acquisition.drivers.declarative.tables import parsed, text_of
from imuposture.acquisition.drivers.driver import Settings
from imuposture.acquisition.drivers.procedures import Await, Procedure, Read, Subscribe, Unsubscribe, Wait, Write

__all__ = ["describe_profile", "is_profile"]

SHORTEST_WRAP_S = 10.0  # a link that drops is back within a few seconds


def is_profile(path: str | Path) -> bool:
    """Tell whether a TOML file means to be a profile, and not the settings of a recording.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ConfigError
        If it cannot be read, or is not TOML.
    """
    path = Path(path)
    return bool({"profile", "stream"} & set(parsed(path, text_of(path))))


def describe_profile(path: str | Path) -> dict[str, object]:
    """Check a profile and say what it says.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        Of str, numbers, lists and dicts only: ``name``, ``title``, ``verified``, ``source``, ``unverified``,
        ``notes``, ``matches``, ``parts``, ``gives``, ``rates_hz``, ``default_rate_hz``, ``options``, ``clock``,
        ``min_mtu``, ``channels``, ``pairing``, ``start``, ``stop``, ``polls``, ``warnings``.

    Raises
    ------
    ConfigError
        If anything in it is not as it must be; names file, key and remedy.
    """
    driver = load_profile(path)
    profile, settings = driver.profile, Settings("upper", magnetometer=True)
    return {
        "name": driver.name,
        "title": driver.title,
        "verified": driver.verified,
        **{key: profile.head[key] for key in ("about", "source", "unverified", "notes")},
        "matches": words(profile.matches),
        "parts": profile.parts,
        "gives": sorted({name for packet in profile.packets(0) for name in packet.vectors}),
        "rates_hz": list(driver.rates_hz),
        "default_rate_hz": driver.default_rate_hz,
        "options": {name: f"{value.told()}; {value.default:g}" for name, value in profile.parameters.items()},
        "clock": _clock(driver, settings),
        "min_mtu": driver.min_mtu,
        "channels": [_channel(profile, at) for at in range(len(driver.channels))],
        "pairing": _pairing(profile),
        "start": [_said(step) for step in _run(driver.start(settings))],
        "stop": [_said(step) for step in _run(driver.stop(settings))],
        "polls": [f"every {period:g} s: {_said(step)}" for period, steps in driver.polls(settings) for step in steps],
        "warnings": _warnings(driver),
    }


def _run(steps: Procedure) -> list[object]:
    return list(steps)


def _clock(driver: ProfileDriver, settings: Settings) -> str:
    stream, packet = driver.stream(settings), driver.profile.inertial(0)[0]
    if stream.clock == "count":
        return "none: samples are counted, losses can be told from arrival times only"
    what = "time stamp" if packet.time else "counter"
    wraps = "" if stream.wrap_ticks is None else f", again at 0 after {stream.wrap_ticks * stream.tick_s:g} s"
    return f"{what} of {stream.tick_s:g} s{wraps}"


def _channel(profile: Profile, at: int) -> dict[str, object]:
    source = profile.sources[at]
    return {
        "uuid": source.uuid,
        "framing": source.framing.kind,
        "read": source.read,
        "packets": [
            {
                "place": packet.place,
                "gives": packet.gives,
                "fields": [one.name for one in (*packet.fields, *packet.samples) if one.name],
            }
            for packet in source.packets
        ],
    }


def _pairing(profile: Profile) -> str:
    if not profile.joins(0):
        return "none needed"
    by_time = profile.pairing != "arrival" and profile.clock(0) is not None
    return "by the device's clock" if by_time else "by order of arrival"


def _warnings(driver: ProfileDriver) -> list[str]:
    """Say what works, but badly."""
    profile, stream = driver.profile, driver.stream(Settings("upper"))
    found = []
    names = {name for packet in profile.packets(0) for name in packet.vectors}
    if "gyr" not in names:
        found.append("no angular rate: inclinations only, no spinal angles while moving, no axial rotation")
    if "acc" not in names:
        found.append("no acceleration: nothing can be said about inclination")
    if profile.clock(0) is None:
        found.append("neither time stamp nor counter: a lost notification is a guess; add one if the firmware is yours")
    found += [
        f"axes of {name} are mirrored: right only if the sensor's own are left-handed" for name in _mirrored(profile)
    ]
    wrap_s = None if stream.wrap_ticks is None else stream.wrap_ticks * stream.tick_s
    if wrap_s is not None and wrap_s < SHORTEST_WRAP_S:
        found.append(f"the clock begins again after {wrap_s:g} s: what a longer gap lost is a guess; send more bits")
    if not profile.matches:
        found.append("no [match]: the sensor must be given with the profile's name")
    if profile.min_mtu > 23:
        found.append(f"needs an MTU of {profile.min_mtu}; a link that stays at 23 brings nothing")
    return found


def _mirrored(profile: Profile) -> list[str]:
    """Return the vectors whose axes are put into a left-handed order."""
    every = [one for packet in profile.packets(0) for one in (*packet.fields, *packet.samples)]
    return [one.name for one in every if one.name in {"acc", "gyr", "mag"} and _determinant(one.axes) < 0]


def _determinant(axes: tuple[int, ...]) -> int:
    x, y, z = axes
    even = (abs(x), abs(y), abs(z)) in {(1, 2, 3), (2, 3, 1), (3, 1, 2)}
    return (1 if even else -1) * (1 if x * y * z > 0 else -1)


def _said(step: object) -> str:
    match step:
        case Write(uuid, data, response, service):
            place = uuid if service is None else f"{uuid} of service {service}"
            return f"write {data.hex(' ')} to {place}{'' if response else ' without response'}"
        case Subscribe(channel) | Unsubscribe(channel) | Read(channel):
            return f"{type(step).__name__.lower()} {channel}"
        case Wait(seconds):
            return f"wait {seconds:g} s"
        case Await(what, timeout_s):
            return f"await {what}, {timeout_s:g} s at most"
    return type(step).__name__.lower()
