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

MAX_LANES = FUSION_MAX_LANES
LIMIT = FUSION_BOUND

cdef enum:
    SHORT = 100  # rows, done before another thread could have begun: letting it would cost as much as a row
    GAP = 1  # Quality.GAP
    SATURATED = 4  # Quality.SATURATED

cdef double CLIPPED = 2.1  # rad/s (120 deg/s): the range of no gyroscope is smaller

cdef double NAN = float("nan")

cdef const char *NUMBERS = b"d"
cdef const char *FLAGS = b"B"


cdef class Tuning:
    """The numbers of a filter as the kernels read them, from parameters by name and a rate in Hz."""

    cdef FusionTuning values

    def __init__(self, dict parameters, double rate):
        cdef FusionParameters named = parameters
        fusion_tune(&self.values, &named, rate)


cdef class Memory:
    """What a stream remembers from one block to the next, and how it is tuned."""

    cdef readonly Tuning tuning
    cdef double state[FUSION_STATE_DOUBLES]

    def __init__(self, Tuning tuning not None):
        self.tuning = tuning
        fusion_begin(&tuning.values, self.state)

    def states(self):
        """Return the numbers, in the order of ext/fusion_step.h."""
        return [self.state[k] for k in range(FUSION_STATE_DOUBLES)]


def level_available(int level):
    """Say whether this build and this processor can run the kernels of ``level`` (0 baseline, 1 AVX2, 2 AVX-512)."""
    return fusion_level_available(level)


def lanes_of(int level):
    """Return how many streams the widest kernel of ``level`` takes side by side."""
    cdef int lanes = 0
    fusion_kernel(level, FUSION_MAX_LANES, &lanes)
    return lanes


def bounded(const double[:, ::1] rows):
    """Say whether all values are finite and within LIMIT."""
    return rows.shape[0] == 0 or rows.shape[1] == 0 or fusion_bounded(&rows[0, 0], rows.shape[0] * rows.shape[1])


def advance(int level, list streams):
    """Filter the rows of up to MAX_LANES streams side by side; the kernels of ``level`` must be available.

    Returns -1; or the place of a stream that does not fit, and then no stream was moved on: an array is not C
    contiguous, aligned, of this type and shape; gyr or acc hold, outside of gaps, NaN or a value beyond LIMIT; the
    stream is tuned otherwise than the first, or there twice, or one too many. A stream is a tuple:

    memory             Memory            moved on
    gyr, acc           (n, 3)            float64, rad/s, m/s2
    mag                (n, 3)            float64, any unit, NaN or zero where missing; or None
    flags              (n,)              uint8, bit 0 marks gaps
    quat, bias         (n, 4), (n, 3)    float64, overwritten; NaN in gaps
    rest               (n,)              bool, overwritten
    disturbed          (n,)              bool, overwritten; this and the next only with a magnetometer
    inertial, delta    (n, 4), (n,)      float64, overwritten
    """
    cdef FusionStream table[FUSION_MAX_LANES]
    cdef Tuning tuning = None
    cdef Memory memory
    cdef int count = len(streams)
    cdef int i
    cdef Py_ssize_t rows = 0
    for i in range(count):
        memory = streams[i][0]
        tuning = tuning or memory.tuning
        if i == FUSION_MAX_LANES or memory.tuning is not tuning or not _enter(table, i, memory, streams[i]):
            return i
        rows += table[i].rows
    if count == 0:
        return -1
    if rows <= SHORT:
        return _filter(&tuning.values, level, table, count)
    with nogil:
        i = _filter(&tuning.values, level, table, count)
    return i


cdef bint _enter(FusionStream *table, int place, Memory memory, tuple arrays):
    """Note the addresses of a stream's arrays, which the caller holds on to, if all of them fit."""
    cdef FusionStream *stream = &table[place]
    cdef int i
    stream.state = memory.state
    for i in range(place):
        if table[i].state == stream.state:
            return False
    stream.row = stream.run = 0
    stream.rows = -1
    stream.mag = NULL
    try:
        return (
            _find(arrays[1], NUMBERS, stream, 3, <void **> &stream.gyr)
            and _find(arrays[2], NUMBERS, stream, 3, <void **> &stream.acc)
            and _find(arrays[4], FLAGS, stream, 1, <void **> &stream.flags)
            and _find(arrays[5], NULL, stream, 4, <void **> &stream.quat)
            and _find(arrays[6], NULL, stream, 3, <void **> &stream.bias)
            and _find(arrays[7], NULL, stream, 1, <void **> &stream.rest)
            and (arrays[3] is None or _enter_field(stream, arrays))
        )
    except (BufferError, TypeError, ValueError):
        return False


cdef bint _enter_field(FusionStream *stream, tuple arrays) except -1:
    """The same for what a magnetometer brings."""
    return (
        _find(arrays[3], NUMBERS, stream, 3, <void **> &stream.mag)
        and _find(arrays[8], NULL, stream, 1, <void **> &stream.disturbed)
        and _find(arrays[9], NULL, stream, 4, <void **> &stream.inertial)
        and _find(arrays[10], NULL, stream, 1, <void **> &stream.delta)
    )


cdef bint _find(array, const char *kind, FusionStream *stream, int width, void **address) except -1:
    """Note where the array is; say whether it is of this type, (rows,) or (rows, width).

    Done by hand, because ten typed memoryviews would cost more than the rows of a live block. Nor is the type of an
    array asked for, ``kind`` NULL, that the Python half has made itself.
    """
    cdef Py_buffer view
    cdef bint fits
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS if kind is NULL else PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    if stream.rows < 0 and view.ndim > 0:
        stream.rows = view.shape[0]
    fits = kind is NULL or (view.format[0] == kind[0] and view.format[1] == 0)  # of unaligned numbers it is "=d"
    fits = fits and view.ndim == (1 if width == 1 else 2)
    fits = fits and view.shape[0] == stream.rows and (width == 1 or view.shape[1] == width)
    address[0] = view.buf
    PyBuffer_Release(&view)
    return fits


cdef int _filter(const FusionTuning *tuning, int level, FusionStream *table, int count) noexcept nogil:
    """Move all streams on and return -1, or none of them and the place of one with a value that no sensor gives."""
    cdef int unsound = _first_unsound(table, count)
    if unsound < 0:
        _advance(tuning, level, table, count)
    return unsound


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
