"""Rows that hide a turn -> how far the orientation may be off because of them (compiled imuposture/doubt.py)."""

from libc.math cimport sqrt

cdef double CLIPPED_SHARE = 0.5  # of the rate: what a clipped one may hide; peaks are rarely twice the range
cdef double STALE_SHARE = 0.1  # what a repeated or bridged row misses of it
cdef double RESTART_SD = 0.1  # rad: the first inclination after a clipped turn comes from a pushed accelerometer


def doubt(
    const double[:, ::1] gyr,
    const unsigned char[::1] flags,
    unsigned char clipped,
    unsigned char stale,
    double least,
    double period,
    double memory,
    double[::1] state,
    double[::1] tilt,
    double[::1] turn,
):
    """Follow the doubt through the next rows of one sensor.

    gyr (n, 3) rad/s; flags (n,) with the bits ``clipped`` (if the rate is at least ``least``) and ``stale``; period s;
    memory s, time constant in which gravity mends the inclination; state (2,): rad hidden by the run of such rows that
    is open, rad^2 of inclination left from earlier ones; tilt (n,) rad, sd of the inclination; turn (n,) rad^2, by
    which the variance of the heading grows.
    """
    cdef Py_ssize_t row
    cdef double rate, share, hidden, fades = 1.0 - period / (period + 0.5 * memory)
    with nogil:
        for row in range(flags.shape[0]):
            rate = sqrt(gyr[row, 0] * gyr[row, 0] + gyr[row, 1] * gyr[row, 1] + gyr[row, 2] * gyr[row, 2])
            share = 0.0
            if flags[row] & clipped and rate >= least:
                share = CLIPPED_SHARE
            elif flags[row] & stale:
                share = STALE_SHARE
            turn[row] = 0.0
            if share > 0.0 and rate == rate:
                hidden = state[0] + share * rate * period
                turn[row] = hidden * hidden - state[0] * state[0]
                state[1] += turn[row]
                if share == CLIPPED_SHARE and state[1] < RESTART_SD * RESTART_SD:
                    state[1] = RESTART_SD * RESTART_SD
                state[0] = hidden
            else:
                state[0] = 0.0
                state[1] = state[1] * fades if state[1] > 1e-12 else 0.0
            tilt[row] = sqrt(state[1])
