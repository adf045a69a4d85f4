"""Rows to orientations, in lanes (compiled half of imuposture/fusion.py).

The filter is in C, ext/fusion_step.h, because it is written over a vector type. Here streams are cut into runs
without gaps, put side by side, and handed to the kernel of their number. Shapes and values are checked by the
Python half; nothing in this file raises or allocates once the loop runs.
"""

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBuffer_Release, PyObject_GetBuffer

cdef extern from "fusion.h" nogil:
    ctypedef struct FusionParameters:
        double sensor_delay, acc_tau, mag_tau, mag_turn_time
        double bias_sigma_start, bias_forgetting_time, bias_limit, turn_invariant
        double bias_sigma_motion, bias_vertical_weight, bias_sigma_rest
        double rest_min_time, rest_tau, rest_gyr, rest_acc
        double field_tau, field_reference_tau, field_norm_tolerance, field_dip_tolerance
        double field_new_time, field_first_time, field_standing_time, field_min_rate
        double field_undisturbed_time, field_reject_time, field_reject_factor

    ctypedef struct FusionTuning:
        pass

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
    void fusion_tune(FusionTuning *tuning, const FusionParameters *parameters, double rate)
    double FUSION_BOUND
    Py_ssize_t fusion_flagged(const unsigned char *flags, Py_ssize_t row, Py_ssize_t rows, unsigned char flag)
    bint fusion_bounded(const double *x, Py_ssize_t count)
    bint fusion_level_available(int level)
    FusionKernel fusion_kernel(int level, int streams, int *lanes)
    void fusion_begin(const FusionTuning *tuning, double *state)
    void fusion_restart(double *state)

STATE_DOUBLES = FUSION_STATE_DOUBLES
MAX_LANES = FUSION_MAX_LANES
LIMIT = FUSION_BOUND

cdef enum:
    GAP = 1  # Quality.GAP
    SATURATED = 4  # Quality.SATURATED

cdef double CLIPPED = 2.1  # rad/s (120 deg/s): the range of no gyroscope is smaller

cdef double NAN = float("nan")


cdef class Tuning:
    """The numbers of a filter as the kernels read them, from parameters by name and a rate in Hz."""

    cdef FusionTuning values

    def __init__(self, dict parameters, double rate):
        cdef FusionParameters named = parameters
        fusion_tune(&self.values, &named, rate)


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


def bounded(const double[:, ::1] rows):
    """Say whether all values are finite and within LIMIT."""
    return rows.shape[0] == 0 or rows.shape[1] == 0 or fusion_bounded(&rows[0, 0], rows.shape[0] * rows.shape[1])


def advance(Tuning tuning, int level, list streams):
    """Filter the rows of up to MAX_LANES streams side by side; the kernels of ``level`` must be available.

    Returns -1; or the place of a stream that does not fit, and then no stream was moved on: an array is not C
    contiguous, of another type or shape, or gyr or acc hold, outside of gaps, NaN or a value beyond LIMIT. A stream
    is a tuple:

    state              (STATE_DOUBLES,)  float64, moved on
    gyr, acc           (n, 3)            float64, rad/s, m/s2
    mag                (n, 3)            float64, any unit, NaN or zero where missing; or None
    flags              (n,)              uint8, bit 0 marks gaps
    quat, bias         (n, 4), (n, 3)    float64, overwritten; NaN in gaps
    rest               (n,)              bool, overwritten
    disturbed          (n,)              bool, overwritten, with a magnetometer
    inertial, delta    (n, 4), (n,)      float64, overwritten, with a magnetometer
    """
    cdef FusionStream table[FUSION_MAX_LANES]
    cdef int count = len(streams)
    cdef int i
    for i in range(count):
        if not _enter(&table[i], streams[i]):
            return i
    with nogil:
        i = _first_unsound(table, count)
        if i < 0:
            _advance(&tuning.values, level, table, count)
    return i


cdef bint _enter(FusionStream *stream, tuple arrays):
    """Note the addresses of a stream's arrays, which the caller holds on to, if all of them fit."""
    cdef Py_ssize_t size = FUSION_STATE_DOUBLES
    cdef Py_ssize_t n = -1
    stream.row = stream.run = 0
    if not (
        _find(arrays[0], NULL, &size, 1, <void **> &stream.state)
        and _find(arrays[1], b"d", &n, 3, <void **> &stream.gyr)
        and _find(arrays[2], b"d", &n, 3, <void **> &stream.acc)
        and _find(arrays[4], b"B", &n, 1, <void **> &stream.flags)
        and _find(arrays[5], NULL, &n, 4, <void **> &stream.quat)
        and _find(arrays[6], NULL, &n, 3, <void **> &stream.bias)
        and _find(arrays[7], NULL, &n, 1, <void **> &stream.rest)
    ):
        return False
    stream.rows = n
    stream.mag = NULL
    return arrays[3] is None or (
        _find(arrays[3], b"d", &n, 3, <void **> &stream.mag)
        and _find(arrays[8], b"?", &n, 1, <void **> &stream.disturbed)
        and _find(arrays[9], b"d", &n, 4, <void **> &stream.inertial)
        and _find(arrays[10], b"d", &n, 1, <void **> &stream.delta)
    )


cdef bint _find(array, const char *kind, Py_ssize_t *rows, int width, void **address):
    """Note where the array is; say whether it is C contiguous, of this type, (rows,) or (rows, width).

    Done by hand, because ten typed memoryviews would cost more than the rows of a live block. Nor is the type of an
    array asked for, ``kind`` NULL, that the Python half has made itself.
    """
    cdef Py_buffer view
    cdef bint fits
    try:
        PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS if kind is NULL else PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    except (BufferError, TypeError, ValueError):
        return False
    if rows[0] < 0 and view.ndim > 0:
        rows[0] = view.shape[0]
    fits = kind is NULL or (view.format[0] == kind[0] and view.format[1] == 0)
    fits = fits and view.ndim == (1 if width == 1 else 2)
    fits = fits and view.shape[0] == rows[0] and (width == 1 or view.shape[1] == width)
    address[0] = view.buf
    PyBuffer_Release(&view)
    return fits


cdef int _first_unsound(const FusionStream *table, int count) noexcept nogil:
    """Return the place of the first stream with a value that no sensor gives, or -1."""
    cdef int i
    for i in range(count):
        if not _is_sound(&table[i]):
            return i
    return -1


cdef bint _is_sound(const FusionStream *stream) noexcept nogil:
    """No value outside of gaps is NaN or beyond the bound."""
    cdef Py_ssize_t row = 0
    cdef Py_ssize_t end
    while row < stream.rows:
        end = fusion_flagged(stream.flags, row, stream.rows, GAP)
        if not fusion_bounded(stream.gyr + 3 * row, 3 * (end - row)):
            return False
        if not fusion_bounded(stream.acc + 3 * row, 3 * (end - row)):
            return False
        row = end + 1
    return True


cdef Py_ssize_t _end_of_trust(const FusionStream *stream, Py_ssize_t row) noexcept nogil:
    """Return where the run from ``row`` on ends: at a gap, behind a row with a clipped gyroscope, or at the end."""
    while True:
        row = fusion_flagged(stream.flags, row, stream.rows, GAP | SATURATED)
        if row == stream.rows or stream.flags[row] & GAP:
            return row
        row += 1
        if _is_clipped(stream, row - 1):
            return row


cdef bint _is_clipped(const FusionStream *stream, Py_ssize_t row) noexcept nogil:
    """The gyroscope of a saturated row ran into its range, not only the accelerometer.

    By the length of the rate, because the axes need not be the sensor's own.
    """
    cdef const double *rate = stream.gyr + 3 * row
    return rate[0] * rate[0] + rate[1] * rate[1] + rate[2] * rate[2] >= CLIPPED * CLIPPED


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
            if active[i].run == 0:
                _forget_clipped(active[i])


cdef void _skip_gap(FusionStream *stream) noexcept nogil:
    """At the end of a run: fill the gap that follows, if any, with NaN, and measure the next run."""
    if stream.run > 0:
        return
    while stream.row < stream.rows and stream.flags[stream.row] & GAP:
        _fill_gap(stream)
        stream.row += 1
    stream.run = _end_of_trust(stream, stream.row) - stream.row


cdef void _forget_clipped(FusionStream *stream) noexcept nogil:
    """After a turn that was hidden the averages start anew: the inclination is found again, and no bias explains it."""
    cdef Py_ssize_t row = stream.row - 1
    if stream.flags[row] & SATURATED and _is_clipped(stream, row):
        fusion_restart(stream.state)


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
