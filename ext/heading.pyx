"""Two orientations -> their relative heading (compiled half of imuposture/heading.py; the filter is pair_filter.h)."""

from libc.math cimport NAN, INFINITY, isnan, sqrt

cdef extern from "pair_filter.h" nogil:
    ctypedef struct pair_settings:
        double period
    ctypedef struct pair_step:
        double x[15]
        double predicted[15]
    ctypedef struct pair_filter:
        double x[15]
        double p[15][15]
        double missing
        double correction
        pair_step step
    void pf_start(pair_filter *f, const pair_settings *c, const double *bias) noexcept
    void pf_row(
        pair_filter *f,
        const pair_settings *c,
        const double **quat,
        const double **gyr,
        const double **smooth,
        const double **acc,
        const double **bias,
        const unsigned char *rest,
        double magnetic,
        int stance,
    ) noexcept
    void pf_doubt(pair_filter *f, double variance) noexcept
    int pf_take_step(pair_filter *f, pair_step *step) noexcept
    int pf_state(const pair_filter *f) noexcept

cdef extern from "pair_smoother.h" nogil:
    void ps_smooth(const pair_step *steps, Py_ssize_t count, double *results) noexcept


cdef Py_ssize_t VARIANCE = 30  # of the heading among the numbers of a step: behind two times fifteen states


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
    def step_members():
        """Return how many numbers a smoother needs of a step."""
        return <Py_ssize_t>(sizeof(pair_step) // sizeof(double))

    @staticmethod
    def members():
        """Return how many settings there are."""
        return <Py_ssize_t>(sizeof(pair_settings) // sizeof(double))

    def states(self):
        """Return the state and its standard deviations, as two tuples of fifteen."""
        cdef int k
        return (
            tuple([self.state.x[k] for k in range(15)]),
            tuple([sqrt(self.state.p[k][k]) for k in range(15)]),
        )

    def push(
        self,
        const double[:, ::1] upper_quat,
        const double[:, ::1] lower_quat,
        const double[:, ::1] upper_gyr,
        const double[:, ::1] lower_gyr,
        const double[:, ::1] smooth,
        const double[:, ::1] upper_acc,
        const double[:, ::1] lower_acc,
        const double[:, ::1] upper_bias,
        const double[:, ::1] lower_bias,
        const unsigned char[::1] upper_rest,
        const unsigned char[::1] lower_rest,
        const double[::1] magnetic,
        const unsigned char[::1] stance,
        const double[::1] hidden,
        double[::1] delta,
        double[::1] sd,
        unsigned char[::1] state,
        double[:, ::1] steps,
    ):
        """Write heading and standard deviation, rad, and the state of the next rows.

        quat (n, 4), gyr (n, 3), bias (n, 3) of each sensor; smooth (n, 6): low-passed rates, upper then lower;
        acc (n, 3) m/s2; NaN in any of a row's quaternions makes it a gap. magnetic (n,): rad, or NaN; stance (n,): 1 in
        a neutral stance; hidden: (n,) rad^2, by which the variance of the heading grows, or none. With room for them,
        the steps completed are written to steps (m, step_members()) and counted in the result, and delta is what the
        filter predicts between them; without, delta is smooth.
        """
        cdef Py_ssize_t row, count = 0
        cdef bint record = steps.shape[0] > 0
        cdef const double *quat[2]
        cdef const double *gyr[2]
        cdef const double *low[2]
        cdef const double *acc[2]
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
                acc[0], acc[1] = &upper_acc[row, 0], &lower_acc[row, 0]
                bias[0], bias[1] = &upper_bias[row, 0], &lower_bias[row, 0]
                rest[0], rest[1] = upper_rest[row], lower_rest[row]
                if hidden.shape[0] > 0:
                    pf_doubt(&self.state, hidden[row])
                pf_row(&self.state, &self.settings, quat, gyr, low, acc, bias, rest, magnetic[row], stance[row])
                delta[row] = self.state.x[0] + (0.0 if record else self.state.correction)
                if pf_take_step(&self.state, <pair_step *>&steps[count, 0] if record else NULL):
                    if record:
                        delta[row] = self.state.step.predicted[0]
                    count += 1
                sd[row] = sqrt(self.state.p[0][0])
                state[row] = pf_state(&self.state)
        return count


def smoothed(const double[:, ::1] steps, double[:, ::1] results):
    """Smooth the steps (m, step_members()) that a filter wrote.

    results (m, 3): rad; what to add to the heading before and after the measurements of each step, and its standard
    deviation.
    """
    if steps.shape[0]:
        with nogil:
            ps_smooth(<const pair_step *>&steps[0, 0], steps.shape[0], &results[0, 0])


def correct(
    const double[:, ::1] steps, const double[:, ::1] results, Py_ssize_t step_rows, double[::1] delta, double[::1] sd
):
    """Bring smoothed steps to the rows between them: delta and sd (n,), rad, as the filter gave them with its steps."""
    cdef Py_ssize_t row, first = 0, step = 0, count = steps.shape[0], anew = steps.shape[1] - 1
    cdef double before = 0.0
    with nogil:
        for row in range(delta.shape[0] + 1):
            if row == delta.shape[0] or isnan(delta[row]):  # a gap, or the end: the open step was not completed
                _correct(delta, sd, first, row, before, before, NAN)
                if step > 0:
                    _narrow(sd, first, row, steps[step - 1, VARIANCE], results[step - 1, 2] * results[step - 1, 2])
                first = row + 1
            elif row - first + 1 == step_rows and step < count:
                if step == 0 or steps[step, anew] != 0.0:
                    before = results[step, 0]
                _correct(delta, sd, first, row + 1, before, results[step, 0], results[step, 2])
                before = results[step, 1]
                first = row + 1
                step += 1


cdef void _narrow(double[::1] sd, Py_ssize_t first, Py_ssize_t end, double filtered, double smoothed) noexcept nogil:
    """Let rows after a step share what is known better of it; what they hide themselves, they go on hiding."""
    cdef Py_ssize_t row
    cdef double variance
    for row in range(first, end):
        variance = sd[row] * sd[row] - filtered + smoothed
        sd[row] = sqrt(variance) if variance > smoothed else sqrt(smoothed)


cdef void _correct(
    double[::1] delta, double[::1] sd, Py_ssize_t first, Py_ssize_t end, double before, double after, double spread
) noexcept nogil:
    """Add what leads straight from one correction to the other."""
    cdef Py_ssize_t row
    for row in range(first, end):
        delta[row] += before + (after - before) * (row - first + 1) / (end - first)
        if not isnan(spread):
            sd[row] = spread
