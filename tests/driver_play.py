"""A sensor that plays along: steps of a procedure are answered from a script, as they are or through the decoder."""

from collections.abc import Callable, Iterable

from imuposture.acquisition.drivers import (
    Answer,
    Await,
    Decoder,
    Message,
    Procedure,
    Read,
    Reconnect,
    Reply,
    Step,
    Write,
)

Payload = tuple[bytes, int]
Script = Callable[[Step], Iterable[Payload]]


def played(procedure: Procedure, answer: Callable[[Step], Answer | Exception]) -> list[Step]:
    """Carry a procedure out and return its steps; an answer that is an exception is thrown into it."""
    steps: list[Step] = []
    try:
        step = next(procedure)
        while True:
            steps.append(step)
            told = answer(step)
            step = procedure.throw(told) if isinstance(told, Exception) else procedure.send(told)
    except StopIteration:
        return steps


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


def silent(step: Step) -> Answer | Exception:
    """Answer nothing: what is waited for never comes."""
    return TimeoutError() if isinstance(step, Await) else None


def written(steps: Iterable[Step]) -> list[str]:
    """Return what was written, as hexadecimal digits."""
    return [step.data.hex() for step in steps if isinstance(step, Write)]
