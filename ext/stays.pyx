"""Rows sorted into classes, and how long each stay in a class lasts (compiled half of imuposture/metrics).

A class is decided row by row and a stay ends with the row that leaves it, so that neither depends on how the rows were
cut into blocks. Shapes are checked by the Python half.
"""

from libc.math cimport INFINITY, NAN, fabs, isnan, nextafter


cdef extern from "spatial.h" nogil:
    double spatial_atan2(double y, double x) noexcept
    double SPATIAL_DEG


def classify(
    const double[::1] x,
    const unsigned char[::1] keep,
    const double[::1] cuts,
    const double[::1] above,
    const signed char[::1] levels,
    bint absolute,
    double margin,
    signed char[::1] state,
    signed char[::1] codes,
):
    """Level of the class of each row, which is the number of cuts it is beyond; -1 for rows that are NaN or not kept.

    x        (n,)  of which the size only counts where ``absolute``
    keep     (n,)  0 or 1
    cuts     (m,)  rising; a value at a cut is on the side of zero, so that mirrored rows fall into mirrored classes
    above    (m,)  the same for a value that has to be above: of cuts on the left of zero, or at it, the number before
    levels   (m + 1,) what each class is called
    margin         a class is left only this far beyond a cut, so that noise at a cut does not change it again and again
    state    (1,)  class of the latest row, -1 at first; overwritten
    codes    (n,)  overwritten
    """
    with nogil:
        _classify(x, keep, cuts, above, levels, absolute, margin, state, codes)


cdef void _classify(
    const double[::1] x,
    const unsigned char[::1] keep,
    const double[::1] cuts,
    const double[::1] above,
    const signed char[::1] levels,
    bint absolute,
    double margin,
    signed char[::1] state,
    signed char[::1] codes,
) noexcept nogil:
    cdef Py_ssize_t row
    cdef int last = state[0]
    cdef double value, low = INFINITY, high = -INFINITY
    for row in range(x.shape[0]):
        value = fabs(x[row]) if absolute else x[row]
        if not (keep[row] and low <= value <= high):  # neighbours are mostly in the same class
            if not keep[row] or isnan(value):
                last, low, high = -1, INFINITY, -INFINITY
            else:
                last = _moved(value, last, cuts, above, margin)
                _bounds(last, cuts, above, margin, &low, &high)
        codes[row] = levels[last] if last >= 0 else -1
    state[0] = <signed char>last


cdef inline int _moved(
    double value, int last, const double[::1] cuts, const double[::1] above, double margin
) noexcept nogil:
    """Return the class of a value whose predecessor was in the class ``last``."""
    if last < 0 or margin == 0.0:
        return _beyond(value, above)
    while last < cuts.shape[0] and value > cuts[last] + margin:
        last += 1
    while last > 0 and value < cuts[last - 1] - margin:
        last -= 1
    return last


cdef inline void _bounds(
    int last, const double[::1] cuts, const double[::1] above, double margin, double *low, double *high
) noexcept nogil:
    """Give the lowest and the highest value that stay in a class."""
    low[0], high[0] = -INFINITY, INFINITY
    if last > 0:
        low[0] = cuts[last - 1] - margin if margin > 0.0 else nextafter(above[last - 1], INFINITY)
    if last < cuts.shape[0]:
        high[0] = cuts[last] + margin if margin > 0.0 else above[last]


cdef inline int _beyond(double value, const double[::1] above) noexcept nogil:
    """Return how many cuts a value is beyond."""
    cdef int n = 0
    while n < above.shape[0] and value > above[n]:
        n += 1
    return n


def stays(
    const double[::1] time,
    const signed char[::1] codes,
    double longest_step,
    const double[::1] edges,
    double[::1] state,
    long long[:, ::1] rows,
    long long[:, ::1] counts,
):
    """Count the rows of each class by how long the stay lasted that they belong to.

    time          (n,)    s
    codes         (n,)    class of each row, -1 for none
    longest_step          s; a stay ends where the next row comes later than this
    edges         (m,)    rows that a stay must have to fall into the next column
    state         (3,)    class of the open stay (-1 for none), its rows, time of the latest row; overwritten
    rows          (c, m + 1) rows of ended stays by class and length; added to
    counts        (c, 3)  ended stays, entries straight from another class, rows of the longest stay; added to
    """
    with nogil:
        _stays(time, codes, longest_step, edges, state, rows, counts)


cdef void _stays(
    const double[::1] time,
    const signed char[::1] codes,
    double longest_step,
    const double[::1] edges,
    double[::1] state,
    long long[:, ::1] rows,
    long long[:, ::1] counts,
) noexcept nogil:
    cdef Py_ssize_t row
    cdef bint apart
    cdef double last = state[2]
    cdef long long length = <long long>state[1]
    cdef int code = <int>state[0]
    for row in range(time.shape[0]):
        apart = time[row] - last > longest_step
        if codes[row] != code or apart:
            if code >= 0:
                _end(code, length, edges, rows, counts)
                if codes[row] >= 0 and not apart:
                    counts[codes[row], 1] += 1
            code, length = codes[row], 0
        length += 1
        last = time[row]
    state[0], state[1], state[2] = code, length, last


cdef inline void _end(
    Py_ssize_t code, long long length, const double[::1] edges, long long[:, ::1] rows, long long[:, ::1] counts
) noexcept nogil:
    cdef Py_ssize_t column = 0
    while column < edges.shape[0] and length >= edges[column]:
        column += 1
    rows[code, column] += length
    counts[code, 0] += 1
    counts[code, 2] = max(counts[code, 2], length)


def holds(
    const double[::1] time,
    const double[::1] x,
    const double[::1] other,
    double tolerance,
    double shortest,
    double longest_step,
    double[::1] state,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
):
    """Find stretches in which ``x`` stays within ``tolerance`` of the middle of its range; stop when ``found`` is full.

    time         (n,)   s
    x            (n,)   a row that is NaN ends a stretch
    other        (n,)   something to be averaged with it
    shortest            s; shorter stretches are passed over
    longest_step        s; a stretch ends where the next row comes later than this
    state        (7,)   lowest and highest of x, start and latest row, sums of x and other, rows (0: none); overwritten
    found        (m, 4) overwritten: start, end, mean of x, mean of other
    count        (2,)   overwritten: rows consumed and stretches found
    """
    with nogil:
        _holds(time, x, other, tolerance, shortest, longest_step, state, found, count)


cdef void _holds(
    const double[::1] time,
    const double[::1] x,
    const double[::1] other,
    double tolerance,
    double shortest,
    double longest_step,
    double[::1] state,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
) noexcept nogil:
    cdef Py_ssize_t row = 0
    cdef double low, high
    count[1] = 0
    while row < time.shape[0] and count[1] < found.shape[0]:
        low, high = min(state[0], x[row]), max(state[1], x[row])
        if state[6] > 0.0 and (
            isnan(x[row]) or not high - low <= 2.0 * tolerance or time[row] - state[3] > longest_step
        ):
            if state[3] - state[2] >= shortest:
                found[count[1], 0], found[count[1], 1] = state[2], state[3]
                found[count[1], 2], found[count[1], 3] = state[4] / state[6], state[5] / state[6]
                count[1] += 1
            state[6] = 0.0
        if not isnan(x[row]):
            if state[6] == 0.0:
                low = high = x[row]
                state[2] = time[row]
                state[4] = state[5] = 0.0
            state[0], state[1], state[3] = low, high, time[row]
            state[4] += x[row]
            state[5] += other[row]
            state[6] += 1.0
        row += 1
    count[0] = row


def rolls(const double[:, ::1] quat, double flattest, double[::1] out, double[::1] facing):
    """Roll of a segment that lies, degrees, + onto the right side; NaN where it does not lie.

    quat      (n, 4) segment -> earth, w-first; rows may be NaN
    flattest         cosine: the long axis is at most this far out of the horizontal plane
    out       (n,)   overwritten: angle about the long axis, 0 with the front straight up, or straight down
    facing    (n,)   overwritten: 1 front up, -1 front down; NaN likewise
    """
    with nogil:
        _rolls(quat, flattest, out, facing)


cdef void _rolls(
    const double[:, ::1] quat, double flattest, double[::1] out, double[::1] facing
) noexcept nogil:
    cdef Py_ssize_t row
    cdef double w, x, y, z, along, front, side
    for row in range(quat.shape[0]):
        w, x, y, z = quat[row, 0], quat[row, 1], quat[row, 2], quat[row, 3]
        along = 2.0 * (y * z + w * x)
        out[row] = facing[row] = NAN
        if fabs(along) <= flattest:
            front, side = 2.0 * (x * z - w * y), 1.0 - 2.0 * (x * x + y * y)
            facing[row] = 1.0 if front >= 0.0 else -1.0
            out[row] = SPATIAL_DEG * spatial_atan2(-side, fabs(front))


def sweeps(
    const double[::1] time,
    const double[::1] x,
    double swing,
    double longest_step,
    double[:, ::1] state,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
):
    """Cut a signal at its turning points, which it left by ``swing`` at least; stop when ``found`` is full.

    time         (n,)   s
    x            (n,)   a row that is NaN ends a sweep that is not counted
    longest_step        s; so does a row that comes later than this
    state        (4, 6) the latest row, the lowest, the highest, the latest turning point: x, time, and since the latest
                        turning point the sums of x above 0 and of -x below 0, and rows; of the latest row last the way
                        that x goes (1 up, -1 down, 0 not known, 2 nothing seen yet), of the last row 1 for a true
                        turning point; overwritten
    found        (m, 7) overwritten: start, end, x at both, mean of x, sums of x above 0 and of -x below 0
    count        (2,)   overwritten: rows consumed and sweeps found
    """
    with nogil:
        _sweeps(time, x, swing, longest_step, state, found, count)


cdef void _sweeps(
    const double[::1] time,
    const double[::1] x,
    double swing,
    double longest_step,
    double[:, ::1] state,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
) noexcept nogil:
    cdef Py_ssize_t row = 0
    count[1] = 0
    while row < time.shape[0] and count[1] < found.shape[0]:
        if isnan(x[row]) or time[row] - state[0, 1] > longest_step:
            state[0, 5] = 2.0
        state[0, 1] = time[row]
        if not isnan(x[row]):
            _step(time[row], x[row], swing, state, found, count)
        row += 1
    count[0] = row


cdef inline void _step(
    double time, double x, double swing, double[:, ::1] state, double[:, ::1] found, Py_ssize_t[::1] count
) noexcept nogil:
    cdef bint first = state[0, 5] == 2.0
    cdef Py_ssize_t k
    if first:
        for k in range(2, 5):
            state[0, k] = 0.0
        state[0, 5] = state[3, 5] = 0.0
    state[0, 0] = x
    state[0, 2] += x if x > 0.0 else 0.0
    state[0, 3] += -x if x < 0.0 else 0.0
    state[0, 4] += 1.0
    if first or x < state[1, 0]:
        _mark(state, 1, time)
    if first or x > state[2, 0]:
        _mark(state, 2, time)
    if state[0, 5] != 1.0 and x - state[1, 0] >= swing:
        _turn(state, 1, found, count)
    elif state[0, 5] != -1.0 and state[2, 0] - x >= swing:
        _turn(state, 2, found, count)


cdef inline void _mark(double[:, ::1] state, Py_ssize_t which, double time) noexcept nogil:
    """Keep the latest row as the lowest (1) or the highest (2)."""
    cdef Py_ssize_t k
    for k in range(5):
        state[which, k] = state[0, k]
    state[which, 1] = time


cdef inline void _turn(
    double[:, ::1] state, Py_ssize_t which, double[:, ::1] found, Py_ssize_t[::1] count
) noexcept nogil:
    """Make the lowest (1) or the highest (2) row the latest turning point, which ends a sweep if one was before it.

    The first one may be no more than where the signal begins; nothing is counted from there.
    """
    cdef Py_ssize_t k, other = 3 - which
    if state[3, 5] == 1.0:
        found[count[1], 0], found[count[1], 1] = state[3, 1], state[which, 1]
        found[count[1], 2], found[count[1], 3] = state[3, 0], state[which, 0]
        found[count[1], 4] = (state[which, 2] - state[which, 3]) / state[which, 4]
        found[count[1], 5], found[count[1], 6] = state[which, 2], state[which, 3]
        count[1] += 1
    for k in range(2):
        state[3, k] = state[which, k]
    for k in range(2, 5):
        state[0, k] -= state[which, k]
    for k in range(5):  # from here on the other extreme is looked for
        state[other, k] = state[0, k]
    state[3, 5] = 0.0 if state[0, 5] == 0.0 else 1.0
    state[0, 5] = 1.0 if which == 1 else -1.0
