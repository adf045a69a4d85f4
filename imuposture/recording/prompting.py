"""Prompting: a protocol's cues are shown when their time comes, and enter the recording as commands."""

import asyncio
from collections.abc import Callable, Sequence

from imuposture.protocols import Cue
from imuposture.recording.recorder import Recorder

__all__ = ["prompt"]

LOOK_S = 0.05  # how often to see whether the sensors stream yet


async def prompt(
    recorder: Recorder, cues: Sequence[Cue], say: Callable[[str], None], *, begin_s: float | None = None
) -> None:
    """Show cues and enter their commands, until the last one.

    Parameters
    ----------
    recorder : Recorder
    cues : sequence of Cue
        In the order of their times.
    say : callable
        Given what to tell the wearer.
    begin_s : float, optional
        Time 0 of the cues on the loop's clock; when left out, they begin once the sensors stream.
    """
    loop = asyncio.get_running_loop()
    while not recorder.streaming:
        await asyncio.sleep(LOOK_S)
    begun = loop.time() if begin_s is None else begin_s
    for cue in cues:
        await asyncio.sleep(max(0.0, begun + cue.at_s - loop.time()))
        if cue.say:
            say(cue.say)
        for command in cue.commands:
            recorder.command(command)
