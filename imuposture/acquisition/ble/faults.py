"""What bleak and the systems below it raise, in one plain sentence with the remedy."""

from imuposture._errors import AcquisitionError, ImuPostureError
from imuposture.acquisition.readers.text import safe_text

__all__ = ["VIRTUAL_WAY", "NoBluetoothError", "explained", "is_no_bluetooth", "short"]

VIRTUAL_WAY = "to try imuposture without any, use virtual sensors: --upper virtual:demo --lower virtual:demo"
_NO_SERVICE = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner")
_CURES = {
    "org.bluez.Error.InProgress": (
        "another program is connecting, or one was killed while it did: close other programs that use the sensor; "
        "if that does not help, `bluetoothctl remove ADDRESS`, then again"
    ),
    "org.bluez.Error.NotReady": "the adapter is off: `bluetoothctl power on`",
    "org.bluez.Error.NotPermitted": "another program already has this sensor's notifications: close it",
    "org.freedesktop.DBus.Error.AccessDenied": "this user may not use Bluetooth: join the group `bluetooth`",
    "org.freedesktop.DBus.Error.UnknownObject": "BlueZ has forgotten the sensor: scan again",
}


class NoBluetoothError(AcquisitionError):
    """There is no Bluetooth on this machine that could be used.

    Parameters
    ----------
    reason : str
    way : str
        To what can be done without, in the words of whoever was called.
    """

    def __init__(self, reason: str, way: str = VIRTUAL_WAY) -> None:
        super().__init__(f"no Bluetooth can be used on this machine ({reason}); {way}")
        self.reason = reason


def explained(error: BaseException, doing: str) -> AcquisitionError:
    """Return what people are told about an error of the radio.

    Parameters
    ----------
    error : BaseException
        As bleak, asyncio or the system raised it.
    doing : str
        What was tried, for example ``"connecting to the upper sensor"``.
    """
    if isinstance(error, AcquisitionError):
        return error
    reason = _no_bluetooth(error)
    if reason is not None:
        return NoBluetoothError(reason)
    return AcquisitionError(f"{doing}: {short(error)}")


def is_no_bluetooth(error: BaseException) -> bool:
    """Tell whether an error means that this machine has no Bluetooth that could be used."""
    return _no_bluetooth(error) is not None


def short(error: BaseException) -> str:
    """Return an error's own words on one line, with the cure where one is known."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    if isinstance(error, ImuPostureError):
        return str(error)
    words = safe_text(str(error) or type(error).__name__)
    cure = _CURES.get(getattr(error, "dbus_error", ""))
    return f"{words}; {cure}" if cure else words


def _no_bluetooth(error: BaseException) -> str | None:
    """Say why there is no Bluetooth; None if that is not what the error means.

    bleak knows an error of its own for this, but without a system bus a bare FileNotFoundError comes through, and
    without bluetoothd an error of D-Bus (seen with bleak 3.1.0).
    """
    if type(error).__name__ == "BleakBluetoothNotAvailableError":
        reason = getattr(error, "reason", None)
        return str(getattr(reason, "name", "not available")).lower().replace("_", " ")
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return "no system bus"
    if getattr(error, "dbus_error", None) in _NO_SERVICE:
        return "the Bluetooth service is not running"
    if "No Bluetooth adapters found" in str(error) or "no powered Bluetooth adapter" in str(error).lower():
        return "no adapter"
    return None
