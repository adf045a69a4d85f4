"""Device clocks and the common grid (compiled half of imuposture/alignment.py).

Both are recursions: what a tick means depends on the tick before it, and so does the next instant of the grid.
"""

from libc.math cimport floor

# Members of ``clock``.
cdef enum:
    STARTED, LAST_TICK, OFFSET_TICKS

# Members of ``counts``.
cdef enum:
    KEPT, LOST, DUPLICATE, REORDERED, RESTARTS

# Meaning of ``kept``.
cdef enum:
    DROPPED, TAKEN, AFTER_DISORDER


def unwrap(
    const double[::1] ticks,
    double wrap,
    double tick_s,
    double shift_s,
    double period,
    double window,
    double restart,
    double[::1] clock,
    double[::1] times,
    unsigned char[::1] kept,
    long long[::1] counts,
):
    """Turn ticks into session time, classify each by its modular forward distance, and count what went wrong.

    ticks      (n,)  the stream's clock as it came
    wrap             ticks at which it restarts at 0, or 0 for never
    shift_s          session time minus the clock's own time, s
    period           nominal ticks between samples
    window           ticks: a sample this much late is a reordered one; later still, the clock was restarted
    restart          ticks between the last sample before and the first after a restart of the clock (unknown: a gap)
    clock      (3,)  state
    times      (n,)  s, valid where ``kept``
    kept       (n,)  0 dropped, 1 taken, 2 taken and the first after a dropped one
    counts     (5,)  added to
    """
    cdef Py_ssize_t row
    cdef bint disorder = False
    cdef double forward, backward
    with nogil:
        for row in range(ticks.shape[0]):
            forward = period
            if clock[STARTED] != 0.0:
                forward = ticks[row] - clock[LAST_TICK]
                if wrap > 0.0:
                    forward -= wrap * floor(forward / wrap)
                backward = wrap - forward if wrap > 0.0 else -forward
                if forward == 0.0 or (backward > 0.0 and backward <= window):
                    counts[DUPLICATE if forward == 0.0 else REORDERED] += 1
                    kept[row] = DROPPED
                    disorder = True
                    continue
                if forward < 0.0 or (wrap > 0.0 and backward < 0.5 * wrap):
                    counts[RESTARTS] += 1
                    clock[OFFSET_TICKS] += clock[LAST_TICK] + restart - ticks[row]
                else:
                    if wrap > 0.0 and ticks[row] < clock[LAST_TICK]:
                        clock[OFFSET_TICKS] += wrap
                    if forward > 1.5 * period:
                        counts[LOST] += <long long>floor(forward / period + 0.5) - 1
            clock[STARTED] = 1.0
            clock[LAST_TICK] = ticks[row]
            counts[KEPT] += 1
            times[row] = (ticks[row] + clock[OFFSET_TICKS]) * tick_s + shift_s
            kept[row] = AFTER_DISORDER if disorder else TAKEN
            disorder = False


def lay_grid(const double[::1] times, double period, double last, double[::1] grid):
    """Write the instants of the grid that follow ``last`` up to the last of ``times``; return how many.

    A sample less than half a period after the last instant adds none; where none came for more than one and a half
    periods, instants are added at the nominal distance. So the grid follows the clock and never slips against it.
    """
    cdef Py_ssize_t row, count = 0
    with nogil:
        for row in range(times.shape[0]):
            while times[row] - last > 1.5 * period:
                last += period
                grid[count] = last
                count += 1
            if times[row] - last >= 0.5 * period:
                last = times[row]
                grid[count] = last
                count += 1
    return count
