"""What a back's movement says about steps (compiled half of imuposture/metrics/segmentation/gait_cycle.py).

Rows are turned and summed one by one in a fixed order, so that a cut changes nothing. Shapes are checked above.
"""

cimport harmonics
from libc.math cimport NAN, fabs, sqrt

cdef enum:
    TILE = 32

cdef double LEAST_LEVEL = 0.1  # length of the horizontal part of the forward axis from which on it tells a direction


def restless(const double[:, ::1] acc, Py_ssize_t rows, double[::1] state, double[:, ::1] found):
    """Tell epochs of ``rows`` rows by how much the length of the acceleration varies; return how many ended.

    acc      (n, 3) m/s2, NaN where missing
    state    (5,)   rows of the open epoch, broken (0 or 1), sum, sum of squares, length of the first row
    found    (m, 2) variance of ended epochs, (m/s2)2, and 1 where no row is missing; m >= n / rows + 1
    """
    cdef Py_ssize_t row, n = 0
    cdef double length, mean
    with nogil:
        for row in range(acc.shape[0]):
            length = sqrt(acc[row, 0] * acc[row, 0] + acc[row, 1] * acc[row, 1] + acc[row, 2] * acc[row, 2])
            if length != length:
                state[1] = 1.0
            if state[0] == 0.0:
                state[4] = length
            length -= state[4]
            state[0] += 1.0
            state[2] += length
            state[3] += length * length
            if state[0] >= rows:
                mean = state[2] / state[0]
                found[n, 0] = state[3] / state[0] - mean * mean
                found[n, 1] = 1.0 - state[1]
                state[0] = state[1] = state[2] = state[3] = 0.0
                n += 1
    return n


def level(
    const double[:, ::1] acc,
    const double[:, ::1] gyr,
    const double[:, ::1] quat,
    const double[::1] forward,
    double[:, ::1] out,
):
    """Turn rows into the frame that stands upright and looks where ``forward`` looks.

    acc, gyr (n, 3) m/s2 and rad/s, and quat (n, 4), w first, to earth (z up); forward (3,), any length, frame of acc;
    out (6, n): acceleration up, forward, right, and angular rate about these; NaN where ``forward`` is nearly vertical
    """
    cdef Py_ssize_t row
    cdef double w, x, y, z, dot, norm
    cdef double[3] up, ahead, right
    with nogil:
        for row in range(acc.shape[0]):
            w, x, y, z = quat[row, 0], quat[row, 1], quat[row, 2], quat[row, 3]
            up[0] = 2.0 * (x * z - w * y)
            up[1] = 2.0 * (y * z + w * x)
            up[2] = 1.0 - 2.0 * (x * x + y * y)
            dot = forward[0] * up[0] + forward[1] * up[1] + forward[2] * up[2]
            ahead[0] = forward[0] - dot * up[0]
            ahead[1] = forward[1] - dot * up[1]
            ahead[2] = forward[2] - dot * up[2]
            norm = sqrt(ahead[0] * ahead[0] + ahead[1] * ahead[1] + ahead[2] * ahead[2])
            norm = 1.0 / norm if norm > LEAST_LEVEL * (fabs(dot) + norm) else NAN
            ahead[0] *= norm
            ahead[1] *= norm
            ahead[2] *= norm
            right[0] = ahead[1] * up[2] - ahead[2] * up[1]
            right[1] = ahead[2] * up[0] - ahead[0] * up[2]
            right[2] = ahead[0] * up[1] - ahead[1] * up[0]
            out[0, row] = up[0] * acc[row, 0] + up[1] * acc[row, 1] + up[2] * acc[row, 2]
            out[1, row] = ahead[0] * acc[row, 0] + ahead[1] * acc[row, 1] + ahead[2] * acc[row, 2]
            out[2, row] = right[0] * acc[row, 0] + right[1] * acc[row, 1] + right[2] * acc[row, 2]
            out[3, row] = up[0] * gyr[row, 0] + up[1] * gyr[row, 1] + up[2] * gyr[row, 2]
            out[4, row] = ahead[0] * gyr[row, 0] + ahead[1] * gyr[row, 1] + ahead[2] * gyr[row, 2]
            out[5, row] = right[0] * gyr[row, 0] + right[1] * gyr[row, 1] + right[2] * gyr[row, 2]


def peaks(const double[::1] x, double swing, long long[::1] found):
    """Find the rows from which ``x`` falls by at least ``swing`` before it rises above; return how many there are.

    x (n,) without NaN; found (n,), overwritten: those rows, each after a rise of at least ``swing``
    """
    cdef Py_ssize_t row, top = 0, n = 0
    cdef double lowest
    cdef bint rising = False
    with nogil:
        lowest = x[0] if x.shape[0] else 0.0
        for row in range(x.shape[0]):
            if rising:
                if x[row] > x[top]:
                    top = row
                elif x[row] <= x[top] - swing:
                    found[n] = top
                    n += 1
                    rising, lowest = False, x[row]
            elif x[row] >= lowest + swing:
                rising, top = True, row
            elif x[row] < lowest:
                lowest = x[row]
    return n


def smooth(const double[:, ::1] x, const double[::1] weights, double[:, ::1] out):
    """Average around each row: weights (k + 1,) of the row itself and of those 1 to k away; fewer at the ends.

    x and out (channels, n), n > k
    """
    cdef Py_ssize_t c
    with nogil:
        for c in range(x.shape[0]):
            _smooth(x[c], weights, out[c])


cdef void _smooth(const double[::1] x, const double[::1] weights, double[::1] out) noexcept nogil:
    cdef Py_ssize_t row, j, i, n = x.shape[0], k = weights.shape[0] - 1
    cdef double weight
    cdef double[TILE] sums  # rows whose sums run side by side
    row = k
    while row + TILE <= n - k:
        for i in range(TILE):
            sums[i] = weights[0] * x[row + i]
        for j in range(1, k + 1):
            weight = weights[j]
            for i in range(TILE):
                sums[i] += weight * (x[row + i - j] + x[row + i + j])
        for i in range(TILE):
            out[row + i] = sums[i]
        row += TILE
    for row in range(row, n):
        out[row] = _partial(x, weights, row)
    for row in range(min(k, n)):
        out[row] = _partial(x, weights, row)


cdef double _partial(const double[::1] x, const double[::1] weights, Py_ssize_t row) noexcept nogil:
    """The mean around a row that is near an end, of the rows that are there."""
    cdef Py_ssize_t j
    cdef double total = weights[0] * x[row], there = weights[0]
    for j in range(1, weights.shape[0]):
        if row >= j:
            total += weights[j] * x[row - j]
            there += weights[j]
        if row + j < x.shape[0]:
            total += weights[j] * x[row + j]
            there += weights[j]
    return total / there


def share(const double[:, ::1] part, const double[:, ::1] whole):
    """Return the variance of the first three channels of ``part`` as a share of those of ``whole``, (channels, n)."""
    cdef Py_ssize_t c
    cdef double left = 0.0, power = 0.0
    with nogil:
        for c in range(3):
            left += _variance(part[c])
            power += _variance(whole[c])
    return left / power if power > 0.0 else 0.0


cdef double _variance(const double[::1] x) noexcept nogil:
    cdef Py_ssize_t row
    cdef double away, total = 0.0, squares = 0.0
    for row in range(x.shape[0]):
        away = x[row] - x[0]
        total += away
        squares += away * away
    return squares / x.shape[0] - (total / x.shape[0]) * (total / x.shape[0])


def landing(const double[:, ::1] smooth, double braking, double[::1] out):
    """Write smooth[0] less ``braking`` rows times the change of smooth[1] from row to row to out (n,); n > 1."""
    cdef Py_ssize_t row, last = out.shape[0] - 1
    with nogil:
        for row in range(1, last):
            out[row] = smooth[0, row] - 0.5 * braking * (smooth[1, row + 1] - smooth[1, row - 1])
        out[0] = smooth[0, 0] - braking * (smooth[1, 1] - smooth[1, 0])
        out[last] = smooth[0, last] - braking * (smooth[1, last] - smooth[1, last - 1])


def trends(const double[:, ::1] x, Py_ssize_t first, Py_ssize_t reach, double[:, ::1] out):
    """Write the mean of ``reach`` rows on both sides of each row to out (k, n), of x[first], x[first + 1], ... (., n).

    At the ends it is the mean of the rows that are there.
    """
    cdef Py_ssize_t c, row, inside, n = x.shape[1]
    cdef double total
    with nogil:
        for c in range(out.shape[0]):
            total, inside = 0.0, 0
            for row in range(min(reach, n)):
                total += x[first + c, row]
                inside += 1
            for row in range(n):
                if row + reach < n:
                    total += x[first + c, row + reach]
                    inside += 1
                if row > reach:
                    total -= x[first + c, row - reach - 1]
                    inside -= 1
                out[c, row] = total / inside


def repeated(const double[:, ::1] x, Py_ssize_t begin, Py_ssize_t end):
    """Return how much rows ``begin`` to ``end`` of the first two channels are like as many before them (correlation).

    x (channels, n), 0 <= begin - (end - begin); NaN where they do not vary
    """
    cdef Py_ssize_t c, row, n = end - begin
    cdef double now, before, sums, past, product = 0.0, power = 0.0, past_power = 0.0
    with nogil:
        for c in range(2):
            sums = past = 0.0
            for row in range(begin, end):
                sums += x[c, row]
                past += x[c, row - n]
            sums /= n
            past /= n
            for row in range(begin, end):
                now, before = x[c, row] - sums, x[c, row - n] - past
                product += now * before
                power += now * now
                past_power += before * before
        power *= past_power
    return product / sqrt(power) if power > 0.0 else NAN


def reaches(const double[:, ::1] x, Py_ssize_t begin, Py_ssize_t end, double[::1] out):
    """Write largest less smallest of rows ``begin`` to ``end`` of x (channels, n) to out (channels,); NaN of NaN."""
    cdef Py_ssize_t c, row
    cdef double low, high
    with nogil:
        for c in range(x.shape[0]):
            low = high = x[c, begin]
            for row in range(begin, end):
                if x[c, row] != x[c, row]:
                    low = NAN
                    break
                low, high = min(low, x[c, row]), max(high, x[c, row])
            out[c] = high - low


def alike(const double[::1] x, Py_ssize_t first, double[::1] out):
    """Write the unbiased autocorrelation of x (n,) at the lags from ``first`` on to ``out``; lags stay below n."""
    cdef Py_ssize_t k, row, lags = out.shape[0], whole = x.shape[0] - first - lags + 1  # rows that have all lags
    with nogil:
        out[:] = 0.0
        for row in range(whole):
            for k in range(lags):
                out[k] += x[row] * x[row + first + k]
        for k in range(lags):
            for row in range(whole, x.shape[0] - first - k):
                out[k] += x[row] * x[row + first + k]
            out[k] /= x.shape[0] - first - k


def fit_harmonics(
    const double[:, ::1] rows,
    const double[::1] begin,
    const double[::1] turn,
    double[:, ::1] sums,
    double[:, ::1] gram,
    double[:, ::1] fit,
):
    """Fit mean and harmonics to equally spaced rows by least squares: normal equations, Cholesky.

    rows   (channels, n)        n >= 2 k + 1, k <= 20
    begin, turn (2,)            cosine and sine of the first row's phase, and of the way from row to row
    sums   (2, 2 k + 1)         scratch: sums of cosines and sines of the multiples of the phase
    gram   (2 k + 1, 2 k + 1)   scratch
    fit    (channels, 2 k + 1)  overwritten: mean, cosine 1, sine 1, cosine 2, ...
    """
    with nogil:
        harmonics.project(rows, begin, turn, sums, fit)
        harmonics.products(sums, gram)
        harmonics.solve(gram, fit)
