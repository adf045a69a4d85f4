"""Mean and harmonics of equally spaced rows by least squares (inlined into ext/strides.pyx).

Normal equations, whose products of the basis follow from its sums, and a Cholesky factor; shapes as in
`strides.fit_harmonics`.
"""

from libc.math cimport sqrt

cdef enum:
    MOST = 20  # harmonics


cdef inline void project(
    const double[:, ::1] rows,
    const double[::1] begin,
    const double[::1] turn,
    double[:, ::1] sums,
    double[:, ::1] fit,
) noexcept nogil:
    """Sum the basis, and the rows over it."""
    cdef Py_ssize_t row, c, k, n = sums.shape[1], most = (n - 1) // 2
    cdef double cosine = begin[0], sine = begin[1], x, y, more
    cdef double[2 * MOST + 1] xs, ys
    sums[:, :] = 0.0
    fit[:, :] = 0.0
    for row in range(rows.shape[1]):
        xs[0], ys[0], xs[1], ys[1] = 1.0, 0.0, cosine, sine
        x, y = cosine * cosine - sine * sine, 2.0 * cosine * sine
        for k in range(2, n):  # by twice the angle: even and odd multiples do not wait for each other
            xs[k] = xs[k - 2] * x - ys[k - 2] * y
            ys[k] = xs[k - 2] * y + ys[k - 2] * x
        for k in range(n):
            sums[0, k] += xs[k]
            sums[1, k] += ys[k]
        for c in range(rows.shape[0]):
            fit[c, 0] += rows[c, row]
            for k in range(1, most + 1):
                fit[c, 2 * k - 1] += xs[k] * rows[c, row]
                fit[c, 2 * k] += ys[k] * rows[c, row]
        more = cosine * turn[0] - sine * turn[1]
        sine = cosine * turn[1] + sine * turn[0]
        cosine = more


cdef inline void products(const double[:, ::1] sums, double[:, ::1] gram) noexcept nogil:
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


cdef inline void solve(double[:, ::1] gram, double[:, ::1] fit) noexcept nogil:
    """Factor the lower half of ``gram`` in place, column by column, and solve for every row of ``fit``."""
    cdef Py_ssize_t i, j, k, c, n = gram.shape[0]
    cdef double factor
    for j in range(n):
        gram[j, j] = sqrt(gram[j, j])
        for i in range(j + 1, n):
            gram[i, j] /= gram[j, j]
            gram[j, i] = gram[i, j]  # the upper half holds the factor's columns as rows, one beside the other
        for i in range(j + 1, n):
            factor = gram[i, j]
            for k in range(j + 1, i + 1):
                gram[i, k] -= factor * gram[j, k]
    for c in range(fit.shape[0]):
        for i in range(n):
            fit[c, i] /= gram[i, i]
            factor = fit[c, i]
            for k in range(i + 1, n):
                fit[c, k] -= factor * gram[i, k]
        for i in range(n - 1, -1, -1):
            fit[c, i] /= gram[i, i]
            factor = fit[c, i]
            for k in range(i):
                fit[c, k] -= factor * gram[i, k]
