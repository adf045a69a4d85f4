"""Whole recordings to smoothed orientations (compiled half of imuposture/fusion/smoothing.py).

The passes are in C, because the first drives the kernels of the causal filter and the others share its algebra
(smoothing.h). Shapes and values are checked by the Python half; nothing here raises or allocates once it runs.
"""

cdef extern from "smoothing.h" nogil:
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

    ctypedef struct SmoothingTuning:
        Py_ssize_t bin, knot
        double lateness, slope, curve, jump, reference, doubt

    ctypedef struct SmoothingStream:
        const double *gyr
        const double *acc
        const double *mag
        const unsigned char *flags
        double *quat
        double *bias
        unsigned char *rest
        unsigned char *rest_backwards
        double *inertial
        double *delta
        unsigned char *disturbed
        double *bins
        double *learnt
        double *knots
        double *room
        Py_ssize_t rows

    enum: FUSION_MAX_LANES
    enum: SMOOTHING_BIN_DOUBLES
    enum: SMOOTHING_ROOM_DOUBLES
    void fusion_tune(FusionTuning *tuning, const FusionParameters *parameters, double rate)
    void smoothing_learn_bias(
        const FusionTuning *, const SmoothingTuning *, int level, const SmoothingStream *, int count)
    void smoothing_level(const FusionTuning *, const SmoothingTuning *, const SmoothingStream *, int count)
    void smoothing_find_north(const FusionTuning *, const SmoothingTuning *, const SmoothingStream *)

MAX_STREAMS = FUSION_MAX_LANES // 2  # a stream takes two lanes, one each way
BIN_DOUBLES = SMOOTHING_BIN_DOUBLES
ROOM_DOUBLES = SMOOTHING_ROOM_DOUBLES
PARAMETERS = sizeof(FusionParameters) // sizeof(double)  # how many the filter has; a test compares


cdef class Tuning:
    """The numbers of filter and smoother as the passes read them, from parameters by name and a rate in Hz."""

    cdef FusionTuning fusion
    cdef SmoothingTuning smoothing

    def __init__(self, dict parameters, double rate, dict smoothing):
        cdef FusionParameters named = parameters
        fusion_tune(&self.fusion, &named, rate)
        self.smoothing = smoothing


cdef class Stream:
    """Where the arrays of a recording are; holds on to them.

    gyr, acc       (n, 3)            float64, rad/s, m/s2
    mag            (n, 3)            float64, any unit, NaN or zero where missing; or None
    flags          (n,)              uint8, bit 0 marks gaps
    quat, bias     (n, 4), (n, 3)    float64, overwritten but in gaps
    rest           (2, n)            uint8, overwritten but in gaps; forwards, and backwards in the order of that run
    learnt, knots  (2, k + 1, 9), (k + 1, 3)   float64, overwritten; k knot intervals
    room           (2, rows of a knot interval, ROOM_DOUBLES)  float64, overwritten
    disturbed      (n,)              uint8, overwritten, with a magnetometer, as the rest
    inertial, delta  (n, 4), (n,)    float64
    bins           (bins, BIN_DOUBLES)  float64, zeros
    """

    cdef SmoothingStream values
    cdef object _held

    def __init__(
        self,
        const double[:, ::1] gyr,
        const double[:, ::1] acc,
        const double[:, ::1] mag,
        const unsigned char[::1] flags,
        double[:, ::1] quat,
        double[:, ::1] bias,
        unsigned char[:, ::1] rest,
        double[:, :, ::1] learnt,
        double[:, ::1] knots,
        double[:, :, ::1] room,
        unsigned char[::1] disturbed,
        double[:, ::1] inertial,
        double[::1] delta,
        double[:, ::1] bins,
    ):
        self._held = (gyr, acc, mag, flags, quat, bias, rest, learnt, knots, room, disturbed, inertial, delta, bins)
        self.values.rows = gyr.shape[0]
        self.values.gyr, self.values.acc, self.values.flags = &gyr[0, 0], &acc[0, 0], &flags[0]
        self.values.quat, self.values.bias = &quat[0, 0], &bias[0, 0]
        self.values.rest, self.values.rest_backwards = &rest[0, 0], &rest[1, 0]
        self.values.learnt, self.values.knots, self.values.room = &learnt[0, 0, 0], &knots[0, 0], &room[0, 0, 0]
        self.values.mag = NULL
        if mag is not None:
            self.values.mag, self.values.disturbed = &mag[0, 0], &disturbed[0]
            self.values.inertial, self.values.delta, self.values.bins = &inertial[0, 0], &delta[0], &bins[0, 0]


def smooth(Tuning tuning, int level, list streams):
    """Smooth up to MAX_STREAMS streams, of at least a row each, all with a magnetometer or none.

    The kernels of ``level`` must be available (`imuposture._ext.fusion.level_available`).
    """
    cdef SmoothingStream table[FUSION_MAX_LANES]
    cdef int count = len(streams)
    cdef Stream stream
    cdef int i
    for i in range(count):
        stream = streams[i]
        table[i] = stream.values
    with nogil:
        smoothing_learn_bias(&tuning.fusion, &tuning.smoothing, level, table, count)
        smoothing_level(&tuning.fusion, &tuning.smoothing, table, count)
        for i in range(count):
            if table[i].mag is not NULL:
                smoothing_find_north(&tuning.fusion, &tuning.smoothing, &table[i])
