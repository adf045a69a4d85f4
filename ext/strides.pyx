"""What a back's movement says about steps (compiled half of imuposture/metrics/segmentation/gait_cycle.py).

Rows are turned and summed one by one in a fixed order, so that a cut changes nothing. Shapes are checked above.
"""

from libc.math cimport NAN, fabs, sqrt

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
    out (n, 6): acceleration up, forward, right, and angular rate about these; NaN where ``forward`` is nearly vertical
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
            out[row, 0] = up[0] * acc[row, 0] + up[1] * acc[row, 1] + up[2] * acc[row, 2]
            out[row, 1] = ahead[0] * acc[row, 0] + ahead[1] * acc[row, 1] + ahead[2] * acc[row, 2]
            out[row, 2] = right[0] * acc[row, 0] + right[1] * acc[row, 1] + right[2] * acc[row, 2]
            out[row, 3] = up[0] * gyr[row, 0] + up[1] * gyr[row, 1] + up[2] * gyr[row, 2]
            out[row, 4] = ahead[0] * gyr[row, 0] + ahead[1] * gyr[row, 1] + ahead[2] * gyr[row, 2]
            out[row, 5] = right[0] * gyr[row, 0] + right[1] * gyr[row, 1] + right[2] * gyr[row, 2]


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
    cdef Py_ssize_t c, row, j, n = x.shape[1], k = weights.shape[0] - 1
    cdef double total
    with nogil:
        for c in range(x.shape[0]):
            for row in range(n):
                out[c, row] = weights[0] * x[c, row]
            for j in range(1, k + 1):
                for row in range(n - j):
                    out[c, row] += weights[j] * x[c, row + j]
                for row in range(j, n):
                    out[c, row] += weights[j] * x[c, row - j]
            for row in range(n):
                if k <= row < n - k:
                    continue
                total = weights[0]
                for j in range(1, k + 1):
                    total += weights[j] * ((row + j < n) + (row - j >= 0))
                out[c, row] /= total


def alike(const double[::1] x, Py_ssize_t first, double[::1] out):
    """Write the unbiased autocorrelation of x (n,) at the lags from ``first`` on to ``out``; lags stay below n."""
    cdef Py_ssize_t k, row, lag
    cdef double total
    with nogil:
        for k in range(out.shape[0]):
            lag, total = first + k, 0.0
            for row in range(x.shape[0] - lag):
                total += x[row] * x[row + lag]
            out[k] = total / (x.shape[0] - lag)


def harmonics(
    const double[:, ::1] rows,
    const double[::1] begin,
    const double[::1] turn,
    double[:, ::1] sums,
    double[:, ::1] gram,
    double[:, ::1] fit,
):
    """Fit mean and harmonics to equally spaced rows by least squares: normal equations, Cholesky.

    rows   (n, channels)        n >= 2 k + 1
    begin, turn (2,)            cosine and sine of the first row's phase, and of the way from row to row
    sums   (2, 2 k + 1)         scratch: sums of cosines and sines of the multiples of the phase
    gram   (2 k + 1, 2 k + 1)   scratch
    fit    (channels, 2 k + 1)  overwritten: mean, cosine 1, sine 1, cosine 2, ...
    """
    with nogil:
        _sums(rows, begin, turn, sums, fit)
        _gram(sums, gram)
        _solve(gram, fit)


cdef void _sums(
    const double[:, ::1] rows,
    const double[::1] begin,
    const double[::1] turn,
    double[:, ::1] sums,
    double[:, ::1] fit,
) noexcept nogil:
    """Sum the basis, and the rows over it."""
    cdef Py_ssize_t row, c, k, n = sums.shape[1], most = (n - 1) // 2
    cdef double cosine = begin[0], sine = begin[1], x, y, more
    sums[:, :] = 0.0
    fit[:, :] = 0.0
    for row in range(rows.shape[0]):
        x, y = 1.0, 0.0
        for k in range(n):
            sums[0, k] += x
            sums[1, k] += y
            if k <= most:
                for c in range(rows.shape[1]):
                    if k > 0:
                        fit[c, 2 * k - 1] += x * rows[row, c]
                        fit[c, 2 * k] += y * rows[row, c]
                    else:
                        fit[c, 0] += rows[row, c]
            more = x * cosine - y * sine
            y = x * sine + y * cosine
            x = more
        more = cosine * turn[0] - sine * turn[1]
        sine = cosine * turn[1] + sine * turn[0]
        cosine = more


cdef void _gram(const double[:, ::1] sums, double[:, ::1] gram) noexcept nogil:
    """Products of the basis from its sums: cos a cos b = (cos(a - b) + cos(a + b)) / 2, and so on; lower half."""
    cdef Py_ssize_t i, j, a, b
    cdef double same
    for i in range(gram.shape[0]):
        for j in range(i + 1):
            a, b = (i + 1) // 2, (j + 1) // 2  # a >= b
            if j == 0:
                gram[i, j] = sums[0, a] if i % 2 or i == 0 else sums[1, a]
            elif i % 2 == j % 2:
                same = 1.0 if i % 2 else -1.0
                gram[i, j] = 0.5 * (sums[0, a - b] + same * sums[0, a + b])
            elif i % 2:  # cosine a, sine b
                gram[i, j] = 0.5 * (sums[1, a + b] - sums[1, a - b])
            else:
                gram[i, j] = 0.5 * (sums[1, a + b] + sums[1, a - b])


cdef void _solve(double[:, ::1] gram, double[:, ::1] fit) noexcept nogil:
    """Factor the lower half of ``gram`` in place and solve for every row of ``fit``."""
    cdef Py_ssize_t i, j, k, c, n = gram.shape[0]
    cdef double left
    for i in range(n):
        for j in range(i + 1):
            left = gram[i, j]
            for k in range(j):
                left -= gram[i, k] * gram[j, k]
            gram[i, j] = sqrt(left) if i == j else left / gram[j, j]
    for c in range(fit.shape[0]):
        for i in range(n):
            for k in range(i):
                fit[c, i] -= gram[i, k] * fit[c, k]
            fit[c, i] /= gram[i, i]
        for i in range(n - 1, -1, -1):
            for k in range(i + 1, n):
                fit[c, i] -= gram[k, i] * fit[c, k]
            fit[c, i] /= gram[i, i]
