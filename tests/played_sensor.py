"""Plays a sensor to a driver's procedure: what is written gets the answers that a script gives, through the decoder."""

from collections.abc import Callable, Iterable

from imuposture.acquisition.drivers import Await, Decoder, Message, Procedure, Read, Reconnect, Reply, Step, Write

Payload = tuple[bytes, int]
Script = Callable[[Step], Iterable[Payload]]


def play(procedure: Procedure, decoder: Decoder, script: Script) -> tuple[list[Step], list[Message]]:
    """Carry out all steps; return them, and what the decoder made of the answers.

    The script gets writes, reads and reconnections, and gives payloads with their channels. A wait for a reply that has
    not come since the step before ends in TimeoutError, as over the air.
    """
    steps: list[Step] = []
    messages: list[Message] = []
    fresh: list[Reply] = []
    answer: Reply | bytes | None = None
    late = False
    try:
        while True:
            step = procedure.throw(TimeoutError("no answer")) if late else procedure.send(answer)
            steps.append(step)
            answer, late = None, False
            if isinstance(step, Await):
                answer = next((reply for reply in fresh if reply.what == step.what), None)
                late = answer is None
                continue
            payloads = list(script(step)) if isinstance(step, Write | Read | Reconnect) else []
            told = [message for payload, channel in payloads for message in decoder.push(payload, channel)]
            messages += told
            fresh = [message for message in told if isinstance(message, Reply)]
            answer = payloads[0][0] if isinstance(step, Read) else None
    except StopIteration:
        return steps, messages


def written(steps: Iterable[Step]) -> list[str]:
    """Return what was written, in hexadecimal."""
    return [step.data.hex() for step in steps if isinstance(step, Write)]
