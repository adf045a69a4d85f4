"""Rotations of rows, sums in a fixed order and the principal axis (compiled half of imuposture/calibration.py).

No BLAS or LAPACK: their last bits depend on the processor, and the mounting is part of every row.
"""

from libc.math cimport fabs, sqrt

cdef extern from "spatial.h" nogil:
    double spatial_atan2(double y, double x) noexcept
    void spatial_sincos(double angle, double *sine, double *cosine) noexcept


def rotate(const double[:, ::1] rows, const double[:, ::1] matrix, double[:, ::1] out):
    """Write ``matrix @ row`` for each of ``rows`` (n, 3) into ``out`` (n, 3)."""
    cdef Py_ssize_t row
    cdef int axis
    with nogil:
        for row in range(rows.shape[0]):
            for axis in range(3):
                out[row, axis] = (
                    matrix[axis, 0] * rows[row, 0] + matrix[axis, 1] * rows[row, 1] + matrix[axis, 2] * rows[row, 2]
                )


def scatter(const double[:, ::1] rows, double[:, ::1] out):
    """Write the sum of ``row row^T`` over ``rows`` (n, 3), from first to last, into ``out`` (3, 3)."""
    cdef Py_ssize_t row
    cdef int i, k
    with nogil:
        for i in range(3):
            for k in range(3):
                out[i, k] = 0.0
        for row in range(rows.shape[0]):
            for i in range(3):
                for k in range(3):
                    out[i, k] += rows[row, i] * rows[row, k]


def principal_axes(double[:, ::1] matrix, double[:, ::1] axes):
    """Diagonalise a symmetric ``matrix`` (3, 3) in place by Jacobi rotations; column k of ``axes`` belongs to entry k.

    Fifteen sweeps are many more than a 3x3 matrix needs (Golub and Van Loan 2013, section 8.5).
    """
    cdef int _sweep, p, q
    with nogil:
        for p in range(3):
            for q in range(3):
                axes[p, q] = 1.0 if p == q else 0.0
        for _sweep in range(15):
            for p in range(2):
                for q in range(p + 1, 3):
                    _jacobi(matrix, axes, p, q)


cdef void _jacobi(double[:, ::1] a, double[:, ::1] axes, int p, int q) noexcept nogil:
    cdef double theta, t, c, s, left, right
    cdef int k
    if a[p, q] == 0.0:
        return
    theta = (a[q, q] - a[p, p]) / (2.0 * a[p, q])
    t = (1.0 if theta >= 0.0 else -1.0) / (fabs(theta) + sqrt(theta * theta + 1.0))
    c = 1.0 / sqrt(t * t + 1.0)
    s = t * c
    for k in range(3):
        left, right = a[k, p], a[k, q]
        a[k, p], a[k, q] = c * left - s * right, s * left + c * right
    for k in range(3):
        left, right = a[p, k], a[q, k]
        a[p, k], a[q, k] = c * left - s * right, s * left + c * right
    for k in range(3):
        left, right = axes[k, p], axes[k, q]
        axes[k, p], axes[k, q] = c * left - s * right, s * left + c * right


def arctangent(double y, double x):
    """Return the angle of (x, y) in rad, with the same bits on every machine."""
    return spatial_atan2(y, x)


def turn(double angle):
    """Return sine and cosine of ``angle`` in rad, with the same bits on every machine."""
    cdef double sine, cosine
    spatial_sincos(angle, &sine, &cosine)
    return sine, cosine
