"""Bluetooth: sensors on the air -> entries in a queue.

`addresses` reads URIs, `transport` is the one switch between this machine's radio and a virtual one, `scanning` finds
sensors, `visit` asks one what it is, `pairing` remembers which is worn where. `radio` is shared by all links, `link`
keeps one sensor connected, `connection` is one generation of it, `steps` carries out what drivers ask, `limits` says
how long anything may take, `queue` hands on what came, `faults` says what went wrong, `clock` and `host` watch this
machine. Provisional: the interface may still change.
"""

from imuposture.acquisition.ble.addresses import Address, parse
from imuposture.acquisition.ble.clock import Clock
from imuposture.acquisition.ble.link import Link
from imuposture.acquisition.ble.queue import EntryQueue
from imuposture.acquisition.ble.radio import Radio
from imuposture.acquisition.ble.scanning import Found, find, scan, shown_name
from imuposture.acquisition.ble.transport import NATIVE, Transport
from imuposture.acquisition.ble.visit import About, blink, visit

__all__ = [
    "NATIVE",
    "About",
    "Address",
    "Clock",
    "EntryQueue",
    "Found",
    "Link",
    "Radio",
    "Transport",
    "blink",
    "find",
    "parse",
    "scan",
    "shown_name",
    "visit",
]
