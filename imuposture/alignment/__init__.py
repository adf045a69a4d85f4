"""Alignment: two streams with clocks of their own in, both sensors on one uniform grid out.

The grid runs at the lower nominal rate of the two. Of files it follows the clock of that stream, so that their rows
keep their own time; of live streams it runs on the host's clock, onto which each sensor's samples are laid by when its
packets arrived. A value comes from the sensor's own sample, or from a straight line between two true neighbours at most
``gap_limit_s`` apart; anything else is a gap: marked, NaN, never filled. Every lost, duplicate, reordered and empty
sample is counted.

`clocks` learns how a device's clock runs, `lattice` how its radio speaks, `corridor` what can be said of the one while
the other holds it; `feed` holds one sensor's samples, `live`
those of a sensor on the air; `grid` has the rows. `fits` looks at clocks with hindsight, `shakes` at two sensors that
were held together.
"""

from imuposture.alignment.clocks import ClockReport, LinkClock
from imuposture.alignment.feed import Counts
from imuposture.alignment.fits import FittedClock
from imuposture.alignment.grid import Alignment
from imuposture.alignment.shakes import Lag, shaken_together

__all__ = ["Alignment", "ClockReport", "Counts", "FittedClock", "Lag", "LinkClock", "shaken_together"]
