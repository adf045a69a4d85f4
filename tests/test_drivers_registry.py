"""Which driver takes a sensor: code before profiles, the more specific match, plug-ins by name only."""

import sys
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import pytest
from written_profiles import STREAM

from imuposture import ConfigError, PluginError
from imuposture.acquisition.drivers import Advertisement, registry
from imuposture.acquisition.drivers.declarative import ProfileDriver
from imuposture.acquisition.drivers.registry import PROFILES, driver_for, driver_named, drivers

ACC = f'{STREAM}fields = [{{ name = "acc", type = "i16le", unit = "g" }}]\n'


def offered(name, matches=lambda advertisement: True, lacking=None):
    """Return something that has what a driver needs, but for one thing."""
    attributes = dict.fromkeys(registry.NEEDED) | {"name": name, "matches": matches}
    attributes.pop(lacking, None)
    return SimpleNamespace(**attributes)


@pytest.fixture
def plug_in(monkeypatch):
    """Offer entry points of a package that is made up; loading one that was not asked for fails the test."""

    def offer(**objects):
        module = ModuleType("made_up_sensors")
        module.__dict__.update(objects)
        monkeypatch.setitem(sys.modules, "made_up_sensors", module)
        points = [EntryPoint(name, f"made_up_sensors:{name}", registry.GROUP) for name in objects]
        monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])

    return offer


def written(folder, name, body=ACC):
    path = folder / f"{name}.toml"
    path.write_text(f'[profile]\nname = "{name}"\nrate_hz = 50\n{body}', encoding="utf-8")
    return path


def test_every_profile_is_there_by_name():
    known = drivers()
    assert {path.stem for path in PROFILES.glob("*.toml")} <= set(known)
    assert len(known) == len(list(known))
    for name in known:
        assert known[name].name == name
        assert known[name] is known[name]


def test_what_is_not_there():
    assert "nothing" not in drivers()
    with pytest.raises(KeyError):
        drivers()["nothing"]
    with pytest.raises(ConfigError, match=r"there is no driver not\\x1bhing; known are .*thingy52.*give the path"):
        driver_named("not\x1bhing")


def test_a_profile_of_ones_own_by_its_path(tmp_path):
    path = written(tmp_path, "mine")
    for given in (path, str(path)):
        driver = driver_named(given)
        assert isinstance(driver, ProfileDriver)
        assert driver.name == "mine"
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        driver_named(tmp_path / "absent.toml")


def test_a_plug_in_is_loaded_when_it_is_asked_for_and_goes_before_profiles(plug_in):
    plug_in(mine=offered("mine"), broken=offered("another"))
    assert list(drivers())[-1] != "mine"
    assert driver_named("mine").name == "mine"
    assert driver_named("thingy52").name == "thingy52"  # which the broken one does not prevent
    plug_in(mine=offered("mine"))
    assert driver_for(Advertisement("a", name="Thingy")).name == "mine"
    plug_in(mine=offered("mine", matches=lambda advertisement: False))
    assert driver_for(Advertisement("a", name="Thingy")).name == "thingy52"


@pytest.mark.parametrize("lacking", registry.NEEDED)
def test_a_plug_in_without_all_a_driver_needs(plug_in, lacking):
    plug_in(mine=offered("mine", lacking=lacking))
    with pytest.raises(PluginError, match=f"driver mine: lacks {lacking}"):
        driver_named("mine")


def test_a_broken_plug_in_is_named(plug_in, monkeypatch):
    plug_in(mine=offered("other"))
    with pytest.raises(PluginError, match="driver mine: calls itself other"):
        driver_named("mine")
    point = EntryPoint("mine", "no_such_package_at_all:driver", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(PluginError, match="driver mine: cannot be loaded: No module named"):
        driver_named("mine")

    def fails(advertisement):
        raise RuntimeError("no\nluck")

    plug_in(mine=offered("mine", matches=fails))
    with pytest.raises(PluginError, match=r"driver mine: matches\(\) failed: no\\nluck"):
        driver_for(Advertisement("a"))


def test_the_more_specific_profile_takes_the_sensor(tmp_path):
    own = "1b5a0001-3c5f-4d1e-9a54-7a3f1f0c52e2"
    matches = {
        "by_company": "company = 0x0059",
        "by_short_name": 'name = "^Back"',
        "by_long_name": 'name = "^Backsensor"',
        "by_public_service": 'service = "181a"',
        "by_own_service": f'service = "{own}"',
        "by_own_service_and_name": f'service = "{own}"\nname = "^Back"',
        "by_name_only": None,
    }
    known = {
        name: driver_named(written(tmp_path, name, ACC + (f"[match]\n{how}" if how else "")))
        for name, how in matches.items()
    }
    company, public = {0x0059: b""}, "0000181a-0000-1000-8000-00805f9b34fb"

    def taken(**said):
        found = driver_for(Advertisement("a", **said), known)
        return None if found is None else found.name

    assert (
        taken(name="Backsensor 1", manufacturer_data=company, service_uuids=(public, own)) == "by_own_service_and_name"
    )
    assert taken(name="x", manufacturer_data=company, service_uuids=(public, own)) == "by_own_service"
    assert taken(name="Backsensor 1", manufacturer_data=company) == "by_long_name"
    assert taken(name="Back", manufacturer_data=company) == "by_short_name"
    assert taken(manufacturer_data=company) == "by_company"
    assert taken(name="x") is None
    assert taken() is None
