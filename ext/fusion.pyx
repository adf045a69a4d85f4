"""Rows to orientations, in lanes (compiled half of imuposture/fusion.py).

The filter is in C, ext/fusion_step.h, because it is written over a vector type. Here streams are cut into runs
without gaps, put side by side, and handed to the kernel of their number. Shapes and values are checked by the
Python half; nothing in this file raises or allocates once the loop runs.
"""

from libc.math cimport fabs

cdef extern from "fusion.h" nogil:
    ctypedef struct FusionLowPass:
        double b0, a1, a2, settle

    ctypedef struct FusionTuning:
        double period, rate, half_period, quarter_period_squared
        FusionLowPass acc_low_pass, rest_low_pass, field_low_pass
        double rest_gyr_squared, rest_acc_squared, rest_min_time
        double bias_limit, bias_variance_start, bias_variance_growth
        double weight_motion, weight_vertical, weight_rest
        double heading_gain, heading_tau
        double field_gain, field_norm_tolerance, field_dip_tolerance
        double field_undisturbed_time, field_new_time, field_first_time, field_reject_time
        double field_min_rate_squared, field_reject_factor

    ctypedef struct FusionStream:
        const double *gyr
        const double *acc
        const double *mag
        const unsigned char *flags
        double *state
        double *quat
        double *bias
        double *inertial
        double *delta
        unsigned char *rest
        unsigned char *disturbed
        Py_ssize_t row, rows, run

    ctypedef void (*FusionKernel)(const FusionTuning *, FusionStream *const *, Py_ssize_t) noexcept nogil
    enum: FUSION_STATE_DOUBLES
    enum: FUSION_MAX_LANES
    enum: FUSION_LEVELS
    bint fusion_level_available(int level)
    FusionKernel fusion_kernel(int level, int streams, int *lanes)
    void fusion_begin(const FusionTuning *tuning, double *state)
    void fusion_restart(double *state)

STATE_DOUBLES = FUSION_STATE_DOUBLES
MAX_LANES = FUSION_MAX_LANES
LIMIT = 1e9  # rad/s, m/s2 or uT: far beyond any sensor, far below where squares overflow

cdef enum:
    GAP = 1  # Quality.GAP

cdef double NAN = float("nan")
cdef double BOUND = LIMIT


cdef class Tuning:
    """The numbers of a filter, as the kernels read them."""

    cdef FusionTuning values

    def __init__(self, dict values):
        self.values = values


def level_available(int level):
    """Say whether this build and this processor can run the kernels of ``level`` (0 baseline, 1 AVX2, 2 AVX-512)."""
    return fusion_level_available(level)


def lanes_of(int level):
    """Return how many streams the widest kernel of ``level`` takes side by side."""
    cdef int lanes = 0
    fusion_kernel(level, FUSION_MAX_LANES, &lanes)
    return lanes


def begin(Tuning tuning, double[::1] state):
    """Write into ``state`` (STATE_DOUBLES,) what a stream remembers before its first row."""
    fusion_begin(&tuning.values, &state[0])


def advance(Tuning tuning, int level, list streams):
    """Filter the rows of up to MAX_LANES streams side by side; the kernels of ``level`` must be available.

    Returns -1; or the place of the first stream that holds, outside of gaps, a value no sensor gives (NaN, or
    beyond LIMIT), and then no stream was moved on. A stream is a tuple:

    state              (STATE_DOUBLES,)  moved on
    gyr, acc           (n, 3)            rad/s, m/s2
    mag                (n, 3)            any unit, NaN or zero where missing; or None
    flags              (n,)              bit 0 marks gaps; or None
    quat, bias         (n, 4), (n, 3)    overwritten; NaN in gaps
    rest               (n,)              overwritten
    disturbed          (n,)              overwritten, with a magnetometer; else None
    inertial, delta    (n, 4), (n,)      overwritten, with a magnetometer; else None
    """
    cdef FusionStream table[FUSION_MAX_LANES]
    cdef int count = len(streams)
    cdef int flawed = -1
    cdef int i
    for i in range(count):
        _enter(&table[i], streams[i])
    with nogil:
        for i in range(count - 1, -1, -1):
            if not _is_sound(&table[i]):
                flawed = i
        if flawed < 0:
            _advance(&tuning.values, level, table, count)
    return flawed


cdef _enter(FusionStream *stream, tuple arrays):
    """Note the addresses of a stream's arrays, which the caller holds on to."""
    cdef double[::1] state = arrays[0]
    cdef const double[:, ::1] gyr = arrays[1]
    cdef const double[:, ::1] acc = arrays[2]
    cdef const double[:, ::1] mag = arrays[3]
    cdef const unsigned char[::1] flags = arrays[4]
    cdef double[:, ::1] quat = arrays[5]
    cdef double[:, ::1] bias = arrays[6]
    cdef unsigned char[::1] rest = arrays[7]
    cdef unsigned char[::1] disturbed = arrays[8]
    cdef double[:, ::1] inertial = arrays[9]
    cdef double[::1] delta = arrays[10]
    stream.rows = gyr.shape[0]
    stream.row = stream.run = 0
    if stream.rows == 0:
        return
    stream.state = &state[0]
    stream.gyr, stream.acc = &gyr[0, 0], &acc[0, 0]
    stream.flags = NULL
    if flags is not None:
        stream.flags = &flags[0]
    stream.quat, stream.bias, stream.rest = &quat[0, 0], &bias[0, 0], &rest[0]
    stream.mag = NULL
    if mag is not None:
        stream.mag, stream.disturbed = &mag[0, 0], &disturbed[0]
        stream.inertial, stream.delta = &inertial[0, 0], &delta[0]


cdef bint _is_sound(const FusionStream *stream) noexcept nogil:
    """No value outside of gaps is NaN or beyond LIMIT; a missing magnetometer value may be NaN."""
    cdef Py_ssize_t row
    cdef bint sound = True
    for row in range(stream.rows):
        if stream.flags is NULL or not stream.flags[row] & GAP:
            sound &= _within(stream.gyr + 3 * row) & _within(stream.acc + 3 * row)
            if stream.mag is not NULL:
                sound &= _within(stream.mag + 3 * row) | (not stream.mag[3 * row] == stream.mag[3 * row])
    return sound


cdef inline bint _within(const double *vector) noexcept nogil:
    return (fabs(vector[0]) <= BOUND) & (fabs(vector[1]) <= BOUND) & (fabs(vector[2]) <= BOUND)


cdef void _advance(const FusionTuning *tuning, int level, FusionStream *table, int count) noexcept nogil:
    """Go on, group by group of as many streams as the widest kernel takes."""
    cdef int lanes = 1
    cdef int first = 0
    fusion_kernel(level, count, &lanes)
    while first < count:
        _advance_group(tuning, level, table + first, min(lanes, count - first))
        first += lanes


cdef void _advance_group(const FusionTuning *tuning, int level, FusionStream *table, int count) noexcept nogil:
    """Filter the streams side by side, run after run, until the last has no rows left."""
    cdef FusionStream *active[FUSION_MAX_LANES]
    cdef int i, lanes, running
    cdef Py_ssize_t rows
    cdef FusionKernel kernel
    while True:
        running = 0
        for i in range(count):
            _skip_gap(&table[i])
            if table[i].run > 0:
                active[running] = &table[i]
                running += 1
        if running == 0:
            return
        rows = active[0].run
        for i in range(1, running):
            rows = min(rows, active[i].run)
        kernel = fusion_kernel(level, running, &lanes)
        for i in range(running, lanes):
            active[i] = active[0]  # an idle lane repeats the first stream, bit for bit
        kernel(tuning, active, rows)
        for i in range(running):
            active[i].row += rows
            active[i].run -= rows


cdef void _skip_gap(FusionStream *stream) noexcept nogil:
    """At the end of a run: fill the gap that follows, if any, with NaN, and measure the next run."""
    cdef Py_ssize_t end
    if stream.run > 0 or stream.row == stream.rows:
        return
    if stream.flags is NULL:
        stream.run = stream.rows - stream.row
        return
    while stream.row < stream.rows and stream.flags[stream.row] & GAP:
        _fill_gap(stream)
        stream.row += 1
    end = stream.row
    while end < stream.rows and not stream.flags[end] & GAP:
        end += 1
    stream.run = end - stream.row


cdef void _fill_gap(FusionStream *stream) noexcept nogil:
    """Write a row of nothing; the filter starts anew after it."""
    cdef Py_ssize_t row = stream.row
    cdef int i
    fusion_restart(stream.state)
    stream.rest[row] = 0
    for i in range(3):
        stream.bias[3 * row + i] = NAN
    for i in range(4):
        stream.quat[4 * row + i] = NAN
    if stream.mag is not NULL:
        stream.disturbed[row] = 0
        stream.delta[row] = NAN
        for i in range(4):
            stream.inertial[4 * row + i] = NAN
