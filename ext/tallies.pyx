"""Rows counted, summed and timed in the order in which they come (compiled half of imuposture/metrics).

Sums run row by row, so that a figure has the same bits however the rows were cut into blocks; percentiles come from
fixed fine histograms, so that a day needs no more memory than a minute. Shapes are checked by the Python half.
"""

from libc.math cimport INFINITY, fabs, isfinite, isnan


cdef extern from "spatial.h" nogil:
    double spatial_atan2(double y, double x) noexcept


def arctangent(double y, double x):
    """Return the angle of (x, y) in rad, with the same bits on every machine."""
    return spatial_atan2(y, x)


def add(
    const double[::1] x,
    const double[::1] sd,
    const unsigned char[::1] keep,
    const double[::1] limits,
    const double[::1] signs,
    double dead_band,
    double width,
    double[::1] sums,
    double[::1] running,
    long long[::1] counts,
    long long[::1] bins,
    long long[::1] filled,
):
    """Add rows to a tally.

    x        (n,)      rows that are NaN or not kept are passed over
    sd       (n,)      standard deviation of x, or no rows at all where it is of no interest
    keep     (n,)      0 or 1
    limits, signs (m,) row i counts the values beyond limits[i] in the direction signs[i] (+1 above, -1 below)
    sums     (4,)      values, standard deviations, values above dead_band less it, values below -dead_band likewise;
                       (0,) where they are of no interest, then the three counts of them stay zero too
    running  (4,)      the same sums, over more rows than those of this tally; as long as ``sums``
    counts   (4 + m,)  values, finite standard deviations, above dead_band, below -dead_band, beyond each limit
    bins     (2k + 1,) values by size; bin k is centred on 0 and ``width`` wide, the outer two take all beyond; or (0,)
    filled   (2,)      first and last bin that may hold anything
    """
    with nogil:
        if sums.shape[0]:
            _sum(x, sd, keep, dead_band, sums, running, counts)
        else:
            counts[0] += _known(x, keep)
        if limits.shape[0]:
            _compare(x, keep, limits, signs, counts)
        if bins.shape[0]:
            _sort(x, keep, 1.0 / width, bins, filled)


cdef Py_ssize_t _known(const double[::1] x, const unsigned char[::1] keep) noexcept nogil:
    cdef Py_ssize_t row, n = 0
    for row in range(x.shape[0]):
        n += keep[row] != 0 and not isnan(x[row])
    return n


cdef void _sum(
    const double[::1] x,
    const double[::1] sd,
    const unsigned char[::1] keep,
    double dead_band,
    double[::1] sums,
    double[::1] running,
    long long[::1] counts,
) noexcept nogil:
    """Add up values and what is beyond the dead band, and their standard deviations."""
    cdef Py_ssize_t row, k
    cdef double value
    cdef bint spread = sd.shape[0] > 0
    cdef double[4] sum = [sums[0], sums[1], sums[2], sums[3]]
    cdef double[4] more = [running[0], running[1], running[2], running[3]]
    cdef long long[4] count = [0, 0, 0, 0]
    for row in range(x.shape[0]):
        value = x[row]
        if not keep[row] or isnan(value):
            continue
        _count(0, value, sum, more, count)
        if spread and isfinite(sd[row]):
            _count(1, sd[row], sum, more, count)
        if value > dead_band:
            _count(2, value - dead_band, sum, more, count)
        elif value < -dead_band:
            _count(3, -value - dead_band, sum, more, count)
    for k in range(4):
        sums[k] = sum[k]
        running[k] = more[k]
        counts[k] += count[k]


cdef inline void _count(int k, double value, double *sum, double *more, long long *count) noexcept nogil:
    sum[k] += value
    more[k] += value
    count[k] += 1


cdef void _compare(
    const double[::1] x,
    const unsigned char[::1] keep,
    const double[::1] limits,
    const double[::1] signs,
    long long[::1] counts,
) noexcept nogil:
    """Count values beyond limits; few rows are beyond any."""
    cdef Py_ssize_t row, k
    cdef double above, below
    _innermost(limits, signs, &above, &below)
    for row in range(x.shape[0]):
        if (x[row] > above or x[row] < below) and keep[row]:
            for k in range(limits.shape[0]):
                counts[4 + k] += signs[k] * x[row] > signs[k] * limits[k]


cdef void _sort(
    const double[::1] x, const unsigned char[::1] keep, double per_bin, long long[::1] bins, long long[::1] filled
) noexcept nogil:
    """Put values into bins."""
    cdef Py_ssize_t row, k, middle = bins.shape[0] // 2, first = filled[0], last = filled[1]
    for row in range(x.shape[0]):
        if keep[row] and not isnan(x[row]):
            k = middle + _bin(x[row], per_bin, middle)
            bins[k] += 1
            first = min(first, k)
            last = max(last, k)
    filled[0], filled[1] = first, last


cdef void _innermost(
    const double[::1] limits, const double[::1] signs, double *above, double *below
) noexcept nogil:
    """Find between which values a row is beyond no limit."""
    cdef Py_ssize_t k
    above[0], below[0] = INFINITY, -INFINITY
    for k in range(limits.shape[0]):
        if signs[k] > 0.0:
            above[0] = min(above[0], limits[k])
        else:
            below[0] = max(below[0], limits[k])


cdef inline Py_ssize_t _bin(double value, double per_bin, Py_ssize_t most) noexcept nogil:
    """Nearest bin, halves away from zero: mirrored values fall into mirrored bins."""
    cdef double place = fabs(value) * per_bin + 0.5
    cdef Py_ssize_t k = most if place >= most else <Py_ssize_t>place
    return k if value >= 0.0 else -k


def bouts(
    const double[::1] time,
    const double[:, ::1] angles,
    double tolerance,
    double shortest,
    double[:, ::1] state,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
):
    """Find stretches in which no angle leaves a band of twice ``tolerance``; stop early when ``found`` is full.

    time    (n,)      s
    angles  (n, c)    degrees; a row whose first angle is NaN ends a stretch, other NaN are passed over
    state   (c + 1, 2) lowest and highest of each angle, then start and latest row of the stretch; NaN at first
    found   (m, 2)    overwritten: start and end of the stretches of at least ``shortest`` s
    count   (2,)      overwritten: rows consumed and stretches found
    """
    with nogil:
        _bouts(time, angles, tolerance, shortest, state, found, count)


cdef void _bouts(
    const double[::1] time,
    const double[:, ::1] angles,
    double tolerance,
    double shortest,
    double[:, ::1] state,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
) noexcept nogil:
    cdef Py_ssize_t row = 0, c, channels = angles.shape[1]
    cdef bint left
    count[1] = 0
    while row < time.shape[0] and count[1] < found.shape[0]:
        left = isnan(angles[row, 0])
        for c in range(channels):
            _widen(angles[row, c], state[c])
            left = left or state[c, 1] - state[c, 0] > 2.0 * tolerance
        if left:
            if state[channels, 1] - state[channels, 0] >= shortest:
                found[count[1], 0] = state[channels, 0]
                found[count[1], 1] = state[channels, 1]
                count[1] += 1
            for c in range(channels):
                state[c, 0] = angles[row, c]
                state[c, 1] = angles[row, c]
            state[channels, 0] = time[row]
        if isnan(state[channels, 0]):
            state[channels, 0] = time[row]
        state[channels, 1] = time[row]
        if isnan(angles[row, 0]):
            state[channels, 0] = state[channels, 1] = angles[row, 0]
        row += 1
    count[0] = row


cdef inline void _widen(double value, double[::1] band) noexcept nogil:
    if value < band[0] or isnan(band[0]):
        band[0] = value
    if value > band[1] or isnan(band[1]):
        band[1] = value
