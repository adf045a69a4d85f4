"""Two orientations -> their relative heading (compiled half of imuposture/heading.py; the filter is pair_filter.h)."""

from libc.math cimport NAN, INFINITY, isnan, sqrt

cdef extern from "pair_filter.h" nogil:
    ctypedef struct pair_settings:
        double period
    ctypedef struct pair_filter:
        double x[12]
        double p[12][12]
        double missing
        double correction
    void pf_start(pair_filter *f, const pair_settings *c, const double *bias) noexcept
    void pf_row(
        pair_filter *f,
        const pair_settings *c,
        const double **quat,
        const double **gyr,
        const double **smooth,
        const double **bias,
        const unsigned char *rest,
        double magnetic,
        int stance,
    ) noexcept
    int pf_state(const pair_filter *f) noexcept


cdef class PairFilter:
    """State of the filter between blocks.

    settings  members of pair_settings in their order
    bias      (6,)  rad/s, first guess of both gyroscopes' biases, segment axes: upper, then lower
    """

    cdef pair_filter state
    cdef pair_settings settings

    def __init__(self, const double[::1] settings, const double[::1] bias):
        cdef Py_ssize_t member
        cdef double *members = &self.settings.period
        for member in range(<Py_ssize_t>(sizeof(pair_settings) // sizeof(double))):
            members[member] = settings[member]
        pf_start(&self.state, &self.settings, &bias[0])

    @staticmethod
    def members():
        """Return how many settings there are."""
        return <Py_ssize_t>(sizeof(pair_settings) // sizeof(double))

    def states(self):
        """Return the state and its standard deviations, as two tuples of twelve."""
        cdef int k
        return (
            tuple([self.state.x[k] for k in range(12)]),
            tuple([sqrt(self.state.p[k][k]) for k in range(12)]),
        )

    def push(
        self,
        const double[:, ::1] upper_quat,
        const double[:, ::1] lower_quat,
        const double[:, ::1] upper_gyr,
        const double[:, ::1] lower_gyr,
        const double[:, ::1] smooth,
        const double[:, ::1] upper_bias,
        const double[:, ::1] lower_bias,
        const unsigned char[::1] upper_rest,
        const unsigned char[::1] lower_rest,
        const double[::1] magnetic,
        const unsigned char[::1] stance,
        double[::1] delta,
        double[::1] sd,
        unsigned char[::1] state,
    ):
        """Write heading and standard deviation, rad, and the state of the next rows.

        quat (n, 4), gyr (n, 3), bias (n, 3) of each sensor; smooth (n, 6): low-passed rates, upper then lower; NaN in
        any of a row's quaternions makes it a gap. magnetic (n,): rad, or NaN; stance (n,): 1 in a neutral stance.
        """
        cdef Py_ssize_t row
        cdef const double *quat[2]
        cdef const double *gyr[2]
        cdef const double *low[2]
        cdef const double *bias[2]
        cdef unsigned char rest[2]
        with nogil:
            for row in range(delta.shape[0]):
                if isnan(upper_quat[row, 0]) or isnan(lower_quat[row, 0]):
                    self.state.missing += 1.0
                    delta[row], sd[row], state[row] = NAN, INFINITY, 0
                    continue
                quat[0], quat[1] = &upper_quat[row, 0], &lower_quat[row, 0]
                gyr[0], gyr[1] = &upper_gyr[row, 0], &lower_gyr[row, 0]
                low[0], low[1] = &smooth[row, 0], &smooth[row, 3]
                bias[0], bias[1] = &upper_bias[row, 0], &lower_bias[row, 0]
                rest[0], rest[1] = upper_rest[row], lower_rest[row]
                pf_row(&self.state, &self.settings, quat, gyr, low, bias, rest, magnetic[row], stance[row])
                delta[row] = self.state.x[0] + self.state.correction
                sd[row] = sqrt(self.state.p[0][0])
                state[row] = pf_state(&self.state)
