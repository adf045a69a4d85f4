"""Device clocks and the common grid (compiled half of imuposture/alignment/feed.py and grid.py).

Both are recursions: what a tick means depends on the tick before it, and so does the next instant of the grid.
"""

from libc.math cimport fabs, floor

# Members of ``clock``: DUE is where the last sample was due on a clock that follows the stamps slowly, so that stamps
# that tremble by less than half a period neither lose nor double a sample; DISORDER says that one was dropped since.
cdef enum:
    STARTED, LAST_TICK, OFFSET_TICKS, DUE, DISORDER

# Members of ``grid_state``.
cdef enum:
    LAST, LAST_DUE

# Members of ``counts``.
cdef enum:
    KEPT, LOST, DUPLICATE, REORDERED, RESTARTS

cdef double FOLLOW = 0.1  # share of a stamp's deviation that the slow clock takes over
cdef double LONG_STEPS = 16.0  # after so many missing samples the slow clock begins anew

# Members of ``seen``: of each channel the last sample, the largest one, the last step, and whether the largest is known
# to be the end of a range; then how many samples differed from the one before.
cdef enum:
    LARGEST = 6
    STEP = 12
    ENDS = 18
    DIFFERED = 24

SEEN = DIFFERED + 1

cdef double QUIET_ACC = 18.6  # m/s2 (1.9 g): the range of no accelerometer is smaller
cdef double QUIET_GYR = 2.1  # rad/s (120 deg/s), likewise
cdef double TURNING = 0.1  # rad/s: samples of a sensor that lies still may well be alike
cdef double ALIKE = 0.9999  # the ends of a range, -32768 and 32767, are one and the same
cdef double ABRUPT = 0.01  # of the value: a plateau begins with a larger step than a rounded peak
cdef int MOST_ALIKE = 3  # channels; more that say the same twice are coarse ones, or lie still
cdef double OFTEN = 20.0  # samples that differ, from which on a sensor is known to be too noisy to say the same twice

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
    clock      (5,)  state
    times      (n,)  s, valid where ``kept``
    kept       (n,)  0 dropped, 1 taken, 2 taken and the first after a dropped one
    counts     (5,)  added to
    """
    cdef Py_ssize_t row
    cdef double forward, backward, now, steps
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
                    clock[DISORDER] = 1.0
                    continue
                if forward < 0.0 or (wrap > 0.0 and backward < 0.5 * wrap):
                    counts[RESTARTS] += 1
                    clock[OFFSET_TICKS] += clock[LAST_TICK] + restart - ticks[row]
                    clock[DUE] = ticks[row] + clock[OFFSET_TICKS] - period
                elif wrap > 0.0 and ticks[row] < clock[LAST_TICK]:
                    clock[OFFSET_TICKS] += wrap
            now = ticks[row] + clock[OFFSET_TICKS]
            if clock[STARTED] == 0.0:
                clock[DUE] = now - period
            steps = _steps((now - clock[DUE]) / period)
            if steps > 1.0:
                counts[LOST] += <long long>steps - 1
            clock[DUE] = _follow(clock[DUE], now, steps, period)
            clock[STARTED] = 1.0
            clock[LAST_TICK] = ticks[row]
            counts[KEPT] += 1
            times[row] = now * tick_s + shift_s
            kept[row] = AFTER_DISORDER if clock[DISORDER] != 0.0 else TAKEN
            clock[DISORDER] = 0.0


cdef inline double _steps(double periods) noexcept nogil:
    """Nearest whole number. It is nearly always 1; to guess so spares the next row the wait for a division."""
    return 1.0 if 0.5 <= periods < 1.5 else floor(periods + 0.5)


cdef inline double _follow(double due, double now, double steps, double period) noexcept nogil:
    """Move the slow clock on by ``steps`` and a little towards the stamp; two stamps of a step move it once."""
    if steps > LONG_STEPS:
        return now
    if steps < 1.0:
        return due
    due += steps * period
    return due + FOLLOW * (now - due)


def lay_grid(const double[::1] times, double period, double[::1] grid_state, double[::1] grid):
    """Write the instants of the grid up to the last of ``times``; return how many.

    An instant is a sample's own time. Where samples are missing on a clock that follows the stamps slowly, instants are
    added at equal distances; a second sample of one step adds none. So the grid follows the clock and never slips.

    grid_state  (2,)  the last instant, and where it was due; both a period before the first sample to begin with
    """
    cdef Py_ssize_t row, count = 0
    cdef double steps, k, step
    with nogil:
        for row in range(times.shape[0]):
            steps = _steps((times[row] - grid_state[LAST_DUE]) / period)
            if steps < 1.0:
                continue
            step = (times[row] - grid_state[LAST]) / steps
            k = 1.0
            while k < steps:
                grid[count] = grid_state[LAST] + k * step
                count += 1
                k += 1.0
            grid[count] = times[row]
            count += 1
            grid_state[LAST] = times[row]
            grid_state[LAST_DUE] = _follow(grid_state[LAST_DUE], times[row], steps, period)
    return count


def find_faults(
    const double[:, ::1] acc,
    const double[:, ::1] gyr,
    double acc_scale,
    double gyr_scale,
    unsigned char saturated,
    unsigned char repeated,
    double[::1] seen,
    unsigned char[::1] flags,
):
    """Mark samples of one sensor that ran into a range, or say again what the sample before said.

    acc, gyr (n, 3); acc_scale, gyr_scale: 98 % of the ranges where known, else infinite. A range nobody told shows as a
    plateau: the largest value so far, beyond what a quiet sensor reads, reached by a step and twice in a row to the
    last bit, while other channels move on; from then on that value is an end of the range, until a larger one comes. A
    sample is repeated if all six channels are, in a turn, and those before it were not alike. seen (SEEN,): state.
    """
    cdef Py_ssize_t row = 0, end
    cdef double[6] scale = [acc_scale, acc_scale, acc_scale, gyr_scale, gyr_scale, gyr_scale]
    cdef double[6] value
    with nogil:
        while row < flags.shape[0]:
            end = _first_telling(acc, gyr, row, scale, &seen[0])
            _skip(acc, gyr, row, end, &seen[0])
            if end < flags.shape[0]:
                value = [acc[end, 0], acc[end, 1], acc[end, 2], gyr[end, 0], gyr[end, 1], gyr[end, 2]]
                flags[end] |= _faults(value, scale, saturated, repeated, &seen[0])
            row = end + 1


cdef Py_ssize_t _first_telling(
    const double[:, ::1] acc, const double[:, ::1] gyr, Py_ssize_t row, const double *scale, const double *seen
) noexcept nogil:
    """Return the first row from ``row`` on that comes near a range or a largest value, or is much like the one before.

    Nearly all rows are before it: they tell nothing about ranges and repetition.
    """
    cdef double[6] most
    cdef int k
    for k in range(6):
        most[k] = min(scale[k], ALIKE * seen[LARGEST + k])
    if not _tells_nothing(&acc[row, 0], &gyr[row, 0], seen, seen + 3, most):
        return row
    row += 1
    while row < acc.shape[0]:
        if not _tells_nothing(&acc[row, 0], &gyr[row, 0], &acc[row - 1, 0], &gyr[row - 1, 0], most):
            break
        row += 1
    return row


cdef inline bint _tells_nothing(
    const double *acc, const double *gyr, const double *acc_before, const double *gyr_before, const double *most
) noexcept nogil:
    cdef int k, same = 0, within = 1
    for k in range(3):
        same += (acc[k] == acc_before[k]) + (gyr[k] == gyr_before[k])
        within &= (fabs(acc[k]) < most[k]) & (fabs(gyr[k]) < most[3 + k])
    return within & (same <= MOST_ALIKE)


cdef void _skip(
    const double[:, ::1] acc, const double[:, ::1] gyr, Py_ssize_t row, Py_ssize_t end, double *seen
) noexcept nogil:
    """Note of the rows from ``row`` to ``end``, which tell nothing, what later ones are compared with."""
    cdef int k
    cdef Py_ssize_t moved
    cdef const double *x
    if end == row:
        return
    for k in range(6):
        x = &acc[0, k] if k < 3 else &gyr[0, k - 3]
        moved = end - 1
        while moved > row and x[3 * moved] == x[3 * (moved - 1)]:
            moved -= 1
        if moved > row:
            seen[STEP + k] = fabs(x[3 * moved] - x[3 * (moved - 1)])
        elif x[3 * row] != seen[k]:
            seen[STEP + k] = fabs(x[3 * row] - seen[k])
        seen[k] = x[3 * (end - 1)]
    seen[DIFFERED] += end - row


cdef unsigned char _faults(
    const double *value, const double *scale, unsigned char saturated, unsigned char repeated, double *seen
) noexcept nogil:
    """Look at a sample closely; return its marks."""
    cdef int k, same = 0
    cdef bint clipped = False, turning = False
    cdef double size
    cdef unsigned char found
    for k in range(6):
        same += value[k] == seen[k]
    for k in range(6):
        size = fabs(value[k])
        clipped = clipped or size >= scale[k]
        turning = turning or (k >= 3 and size > TURNING)
        if _is_end(value[k], QUIET_ACC if k < 3 else QUIET_GYR, same < 6, &seen[k]):
            clipped = True
    found = saturated if clipped else 0
    if same == 6 and turning and seen[DIFFERED] >= OFTEN:
        found |= repeated
    elif same > MOST_ALIKE:
        seen[DIFFERED] = 0.0
    else:
        seen[DIFFERED] += 1.0
    return found


cdef inline bint _is_end(double value, double quiet, bint moving, double *seen) noexcept nogil:
    """Take in a channel's next value; say whether it is an end of its range. ``moving``: some channel has changed."""
    cdef double size = fabs(value)
    cdef bint extreme = size >= ALIKE * seen[LARGEST] and size > quiet
    if ALIKE * size > seen[LARGEST]:
        seen[ENDS] = 0.0
    if value != seen[0]:
        seen[STEP] = fabs(value - seen[0])
    elif extreme and moving and seen[STEP] > ABRUPT * size:
        seen[ENDS] = 1.0
    if size > seen[LARGEST]:
        seen[LARGEST] = size
    seen[0] = value
    return extreme and moving and seen[ENDS] != 0.0
