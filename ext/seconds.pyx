"""What a second says about lying, sitting and standing (compiled half of metrics/segmentation/activity.py).

Rows are summed one by one, and seconds one after the other, so that a cut changes nothing. Shapes are checked above.
"""

from libc.math cimport NAN, fabs, isnan

# Of a second: its number, the logarithm of the odds for sitting (NaN where it says nothing), how somebody lies (place
# in LIES of the Python half; NaN: does not), whether anything was measured, and means, NaN where not known.
SECOND = ("number", "odds", "lies", "measured", "lean", "flexion", "motion")
SETTINGS = ("fewest", "calibrated", "horizontal", "bent_deg", "busy_degps", "seated_deg", "seated_scale_deg")

# In the order of LIES.
cdef enum:
    SUPINE = 0
    BENT = 1
    LEFT = 2
    RIGHT = 3

cdef struct Settings:
    double fewest
    double calibrated
    double horizontal
    double bent_deg
    double busy_degps
    double seated_deg
    double seated_scale_deg

# What the rows of the open second add up to: a row of doubles.
cdef struct Sums:
    double number            # -1 while there is none
    double rows              # with an orientation and an inclination of the pelvis
    double[3] up             # in the lower segment
    double forward
    double flexion_rows
    double flexion
    double lean_rows
    double lean
    double motion_rows       # with lean and motion
    double tilt              # sums of |lean| and motion of these
    double motion

SUMS = sizeof(Sums) // sizeof(double)

cdef struct Second:
    double number
    double odds
    double lies
    double measured
    double lean
    double flexion
    double motion


def advance(
    const long long[::1] index,
    const double[:, ::1] quat,
    const double[::1] forward,
    const double[::1] flexion,
    const double[::1] lean,
    const double[::1] motion,
    const double[::1] settings,
    double[::1] state,
    double[:, ::1] found,
):
    """Sum rows over their second and judge each second that is over; return how many were.

    index    (n,)    second a row belongs to, not falling
    quat     (n, 4)  lower segment to earth; forward, flexion, lean, motion (n,) degrees and degrees a second; NaN: none
    settings (7,)    in the order of SETTINGS
    state    (SUMS,) of the open second; -1 first and zeros at first, overwritten
    found    (m, 7)  overwritten, columns as in SECOND; m is at least the number of changes of ``index``, and 1 more
    """
    cdef Py_ssize_t n
    with nogil:
        n = _advance(
            index, quat, forward, flexion, lean, motion, <const Settings*>&settings[0], <Sums*>&state[0], found
        )
    return n


cdef Py_ssize_t _advance(
    const long long[::1] index,
    const double[:, ::1] quat,
    const double[::1] forward,
    const double[::1] flexion,
    const double[::1] lean,
    const double[::1] motion,
    const Settings* settings,
    Sums* sums,
    double[:, ::1] found,
) noexcept nogil:
    cdef Py_ssize_t row, n = 0
    cdef double w, x, y, z
    for row in range(index.shape[0]):
        if index[row] != sums.number:
            if sums.number >= 0.0:
                _judge(sums, settings, <Second*>&found[n, 0])
                n += 1
            _clear(index[row], sums)
        w, x, y, z = quat[row, 0], quat[row, 1], quat[row, 2], quat[row, 3]
        if not isnan(w + x + y + z + forward[row]):
            sums.rows += 1.0
            sums.up[0] += 2.0 * (x * z - w * y)
            sums.up[1] += 2.0 * (y * z + w * x)
            sums.up[2] += 1.0 - 2.0 * (x * x + y * y)
            sums.forward += forward[row]
        if not isnan(flexion[row]):
            sums.flexion_rows += 1.0
            sums.flexion += flexion[row]
        if not isnan(lean[row]):
            sums.lean_rows += 1.0
            sums.lean += lean[row]
            if not isnan(motion[row]):
                sums.motion_rows += 1.0
                sums.tilt += fabs(lean[row])
                sums.motion += motion[row]
    return n


cdef inline void _clear(double number, Sums* sums) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(<Py_ssize_t>(sizeof(Sums) // sizeof(double))):
        (<double*>sums)[k] = 0.0
    sums.number = number


def close(const double[::1] settings, double[::1] state, double[:, ::1] found):
    """Judge the open second, if any; return how many were. Arguments as those of `advance`."""
    if state[0] < 0.0:
        return 0
    _judge(<Sums*>&state[0], <const Settings*>&settings[0], <Second*>&found[0, 0])
    state[0] = -1.0
    return 1


cdef void _judge(const Sums* sums, const Settings* settings, Second* second) noexcept nogil:
    """Judge a second by itself."""
    cdef double fewest = settings.fewest, back
    second.number = sums.number
    second.odds = second.lies = NAN
    second.measured = sums.rows >= fewest or sums.lean_rows >= fewest
    second.lean = sums.lean / sums.lean_rows if sums.lean_rows >= fewest else NAN
    second.flexion = sums.flexion / sums.flexion_rows if sums.flexion_rows >= fewest else NAN
    second.motion = sums.motion / sums.motion_rows if sums.motion_rows >= fewest else NAN
    if settings.calibrated == 0.0 or sums.rows < fewest:
        return
    second.lies = _lying(sums.up[0] / sums.rows, sums.up[1] / sums.rows, sums.up[2] / sums.rows, settings)
    if not isnan(second.lies) or second.motion > settings.busy_degps:
        return
    if sums.motion_rows > 0.0 and sums.tilt > settings.bent_deg * sums.motion_rows:
        return
    back = -sums.forward / sums.rows + (0.0 if isnan(second.flexion) else 0.5 * second.flexion)
    second.odds = min(max((back - settings.seated_deg) / settings.seated_scale_deg, -4.0), 4.0)


cdef inline double _lying(double x, double y, double z, const Settings* settings) noexcept nogil:
    """Return how somebody lies whose lower segment sees up there; bent down and prone look the same."""
    if y >= settings.horizontal:
        return NAN
    if fabs(x) >= fabs(z):
        return SUPINE if x > 0.0 else BENT
    return LEFT if z > 0.0 else RIGHT


def votes(const double[:, ::1] line, Py_ssize_t around, double[:, ::1] found):
    """Add up the odds of seconds and of those around them that say anything.

    line   (n, 7)  columns as in SECOND
    around         before and after a second; fewer at the end of the line
    found  (m, 2)  overwritten: sums, and of how many; of the seconds of ``line`` from row ``around`` on
    """
    cdef Py_ssize_t k, j
    with nogil:
        for k in range(found.shape[0]):
            found[k, 0] = found[k, 1] = 0.0
            for j in range(k, min(k + 2 * around + 1, line.shape[0])):
                if not isnan(line[j, 1]):
                    found[k, 0] += line[j, 1]
                    found[k, 1] += 1.0
