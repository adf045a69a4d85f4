"""Notifications of a MetaMotion -> rows, replies and status: [module][register][data].

Which data a register holds depends on the chips inside. The decoder learns them from the answers it sees, and refuses
data of sensors before; likewise it takes the output of a processor only once it has seen which was made last.
"""

import struct
from collections import deque

import numpy as np

from imuposture._blocks import FloatArray, ImuBlock, Role
from imuposture.acquisition.drivers._pairing import ByOrder, Row, block_of
from imuposture.acquisition.drivers._wire import DEGREE, GRAVITY, reals, refusal
from imuposture.acquisition.drivers.messages import Message, Reply, Status
from imuposture.acquisition.drivers.metamotion_commands import ACC, FUSION, GYR, MAG, MODULES, PROCESSOR, chips_of

__all__ = ["MetaMotionDecoder"]

MODULE_INFO = 0x80
BATTERY, MADE, COUNTED = (0x11, 0x8C), (PROCESSOR, 0x02), (PROCESSOR, 0x03)
MAG_UT = 1 / 16
MILLI_G = GRAVITY / 1000
# Outputs of the fusion that are vectors: what they are, and their unit.
FUSION_VECTORS = {0x04: ("acc", MILLI_G), 0x05: ("gyr", DEGREE), 0x06: ("mag", 1.0)}
FUSION_SAYS = {
    0x08: ("euler", ("heading_deg", "pitch_deg", "roll_deg", "yaw_deg")),
    0x09: ("gravity", ("x_mps2", "y_mps2", "z_mps2")),
    0x0A: ("linear_acceleration", ("x_mps2", "y_mps2", "z_mps2")),
}


class MetaMotionDecoder:
    """Notifications of one connection -> messages.

    Parameters
    ----------
    role : "upper" or "lower"
    route : "fused", "plain", "packed" or "fusion"
        What was asked to come; see `imuposture.acquisition.drivers.metamotion`.
    acc_range_g, gyr_range_dps : int
        Ranges that were set; raw numbers mean nothing without them.
    magnetometer : bool
        The blocks hold ``mag``: each sample in the first row after it that has none, NaN in the others.
    """

    def __init__(
        self, role: Role, route: str, acc_range_g: int, gyr_range_dps: int, magnetometer: bool = False
    ) -> None:
        self._role, self._route = role, route
        self._acc_unit = acc_range_g / 32768 * GRAVITY
        self._gyr_unit = gyr_range_dps / 2000 / 16.4 * DEGREE  # the chip's own 16.4 LSB at 2000 deg/s, not 32768/2000
        self._optional = [name for name, there in (("mag", magnetometer), ("quat", route == "fusion")) if there]
        self._joining = ByOrder(("acc", "gyr", "quat") if route == "fusion" else ("acc", "gyr"))
        self._field: deque[FloatArray] = deque(maxlen=3)
        self._implementations: dict[int, int] = {}
        self._processor: int | None = None

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        """Take the next notification.

        Raises
        ------
        DecodeError
            If it is none of the protocol, has another length, or comes before the sensor said what it is.
        """
        if channel or len(payload) < 2:
            raise refusal(payload, "a notification of a MetaMotion is [module][register][data]")
        module, register = payload[0], payload[1]
        if register == MODULE_INFO:
            return self._module(payload)
        answers = {BATTERY: _battery, MADE: self._made, COUNTED: self._counted}
        if (module, register) in answers:
            return answers[module, register](payload)
        if module in (FUSION, MAG):
            return (self._fused if module == FUSION else self._magnetic)(register, payload)
        return self._sampled(module, register, payload)

    def _module(self, payload: bytes) -> list[Message]:
        """Read which chip a module is; one that is missing answers with nothing."""
        module = payload[0]
        if len(payload) == 3 or module not in MODULES:
            raise refusal(payload, "which chip a module is takes no bytes, or two and more, of a module asked for")
        implementation, revision = payload[2:4] if len(payload) > 2 else (-1, -1)
        self._implementations[module] = implementation
        values = {"present": len(payload) > 2, "implementation": implementation, "revision": revision}
        return [Reply(f"module.{MODULES[module]}", values)]

    def _made(self, payload: bytes) -> list[Message]:
        if len(payload) != 3:
            raise refusal(payload, "a processor that was made says one byte")
        self._processor = payload[2]
        return [Reply("processor", {"id": payload[2]})]

    def _counted(self, payload: bytes) -> list[Message]:
        """Read a count, an acceleration and rates that belong together."""
        if self._route != "fused" or self._processor is None or len(payload) != 19 or payload[2] != self._processor:
            raise refusal(payload, "counted samples take 19 bytes, of the processor that was made last")
        count = struct.unpack_from("<I", payload, 3)[0]
        raw = np.frombuffer(payload, dtype="<i2", offset=7).astype(np.float64)
        row = Row(float(count), {"acc": raw[:3] * self._acc_unit, "gyr": raw[3:] * self._gyr_unit})
        return self._out([row])

    def _sampled(self, module: int, register: int, payload: bytes) -> list[Message]:
        """Read raw samples, one or three."""
        chips = chips_of(self._implementations.get(ACC, -1), self._implementations.get(GYR, -1))
        if chips is None:
            raise refusal(payload, "data of a MetaMotion mean nothing before it said which chips it has")
        packed = self._route == "packed"
        if self._route not in {"plain", "packed"} or (module, register) not in chips.registers(packed):
            raise refusal(payload, f"a {chips.name} brings no samples of route {self._route} there")
        if len(payload) != (20 if packed else 8):
            raise refusal(payload, "a sample takes 6 bytes; three are packed into a payload, or one is alone in it")
        raw = np.frombuffer(payload, dtype="<i2", offset=2).reshape(-1, 3).astype(np.float64)
        if module == ACC:
            return self._out(self._joining.push("acc", raw * self._acc_unit))
        return self._out(self._joining.push("gyr", raw * self._gyr_unit))

    def _magnetic(self, register: int, payload: bytes) -> list[Message]:
        """Keep the field for the next rows."""
        if (register, len(payload)) not in {(0x05, 8), (0x09, 20)}:
            raise refusal(payload, "the field comes at register 5 with one sample, or at 9 with three")
        raw = np.frombuffer(payload, dtype="<i2", offset=2).reshape(-1, 3).astype(np.float64)
        self._field.extend(raw * MAG_UT)
        return []

    def _fused(self, register: int, payload: bytes) -> list[Message]:
        """Read an output of the on-sensor fusion; the accuracies that it ends with are not kept."""
        if register in FUSION_VECTORS:
            part, unit = FUSION_VECTORS[register]
            values = _reals(payload, 3, accuracy=True) * unit
            if part == "mag":
                self._field.append(values)
                return []
            return self._join(part, values, payload)
        if register == 0x07:
            return self._join("quat", _reals(payload, 4), payload)
        if register in FUSION_SAYS:
            name, fields = FUSION_SAYS[register]
            values = _reals(payload, len(fields))
            return [Status(name, dict(zip(fields, values.tolist(), strict=True)))]
        raise refusal(payload, "the fusion has outputs 4 to 10")

    def _join(self, part: str, values: FloatArray, payload: bytes) -> list[Message]:
        if self._route != "fusion":
            raise refusal(payload, f"an output of the fusion does not belong to route {self._route}")
        return self._out(self._joining.push(part, values[np.newaxis]))

    def _out(self, rows: list[Row]) -> list[Message]:
        if not rows:
            return []
        for row in rows if "mag" in self._optional else []:
            if self._field:
                row.parts["mag"] = self._field.popleft()
        block: ImuBlock = block_of(self._role, rows, self._optional)
        return [block]


def _reals(payload: bytes, count: int, accuracy: bool = False) -> FloatArray:
    if len(payload) != 2 + 4 * count + accuracy:
        raise refusal(payload, f"this output of the fusion takes {2 + 4 * count + accuracy} bytes")
    return reals(payload[2 : 2 + 4 * count], payload)


def _battery(payload: bytes) -> list[Message]:
    if len(payload) != 5 or payload[2] > 100:
        raise refusal(payload, "the battery is one byte in percent and two in millivolt")
    values = {"percent": float(payload[2]), "volt": int.from_bytes(payload[3:], "little") / 1000}
    return [Reply("battery", values), Status("battery", values)]
