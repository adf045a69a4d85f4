"""Second-order sections that remember where they stopped (compiled half of imuposture/filtering.py).

Row n needs the state left by row n - 1, so the loop is here. Shapes and values
are checked by the Python half; nothing in this file raises or allocates.
"""

from libc.math cimport NAN


cdef extern from "spatial.h" nogil:
    void spatial_sincos(double angle, double *sine, double *cosine) noexcept


def butterworth(double cutoff, double rate, double[::1] section):
    """Write b0 b1 b2 a1 a2 of a second-order Butterworth low-pass into ``section`` (bilinear, prewarped)."""
    cdef double sine, cosine, c, d
    spatial_sincos(3.14159265358979311600 * cutoff / rate, &sine, &cosine)
    c = sine / cosine
    d = c * c + 1.41421356237309514547 * c + 1.0
    section[0] = c * c / d
    section[1] = 2.0 * section[0]
    section[2] = section[0]
    section[3] = 2.0 * (c * c - 1.0) / d
    section[4] = (1.0 - 1.41421356237309514547 * c + c * c) / d


def advance(
    const double[::1] section,
    const double[:, ::1] rows,
    const unsigned char[::1] gap,
    double[:, ::1] state,
    double[:, ::1] out,
):
    """Filter ``rows`` (n, channels) into ``out`` and move ``state`` on.

    section  (5,)               b0 b1 b2 a1 a2
    gap      (n,)               rows that hold no value: ``out`` is NaN there, and the filter starts anew after them
    state    (channels + 1, 2)  direct form II transposed a channel; the last row's first entry is 1 once started
    """
    with nogil:
        _advance(section, rows, gap, state, out)


cdef void _advance(
    const double[::1] section,
    const double[:, ::1] rows,
    const unsigned char[::1] gap,
    double[:, ::1] state,
    double[:, ::1] out,
) noexcept nogil:
    cdef Py_ssize_t row, channel, channels = rows.shape[1]
    cdef double x, y
    cdef double b0 = section[0], b1 = section[1], b2 = section[2], a1 = section[3], a2 = section[4]
    for row in range(rows.shape[0]):
        if gap[row]:
            state[channels, 0] = 0.0
            for channel in range(channels):
                out[row, channel] = NAN
            continue
        for channel in range(channels):
            x = rows[row, channel]
            if state[channels, 0] == 0.0:  # the first value is taken as the resting one
                state[channel, 0] = x * (1.0 - b0)
                state[channel, 1] = x * (b2 - a2)
            y = b0 * x + state[channel, 0]
            state[channel, 0] = b1 * x - a1 * y + state[channel, 1]
            state[channel, 1] = b2 * x - a2 * y
            out[row, channel] = y
        state[channels, 0] = 1.0
