"""What a plane remembers between rows, and how a row is smoothed: shared by ext/movements.pyx, no module of its own.

Only doubles and structs of doubles, so that rows of arrays can be these structs.
"""

from libc.math cimport INFINITY, NAN, fabs, isnan

cdef enum:
    REST = 0
    OUT = 1
    RETURNING = 2

cdef enum:
    REPETITION = 0
    POSTURE_CHANGE = 1
    ABORTED = 2

# What a gap of late did: nothing, it began at rest, or it began away from the level.
cdef enum:
    WHOLE = 0
    AT_REST = 1
    AWAY = 2

# Where an excursion may have begun or ended: the row nearest the level so far, and what happened since.
cdef struct Mark:
    double t
    double x
    double distance
    double[2] other          # angle of the two other planes at the row
    double[2] most           # how far they moved since, at most
    double path
    double fastest

# What a plane remembers: a row of ``state``. Only doubles, so that a row of an array can be one.
cdef struct Plane:
    double mode              # the first two are read by the Python half
    double opened_t
    double index
    double seeded
    double seeded_t
    double filled
    double missing
    double noise
    double noise_n
    double cut                # the excursion began, or may have begun, in a gap
    double level
    double visited_t         # when the level was last seen from near
    double x
    double t
    double anchor_x
    double anchor_t
    double hold_sum
    double hold_n
    double slow              # the angle, slowly followed
    double out_t             # since when the way back has not begun
    double side
    double start_t
    double base
    double peak_t
    double peak_x
    double[2] at_peak
    double band_t
    double sd_sum
    double sd_n
    double held
    double recent_n           # 0: the last half second begins anew
    double recent_at
    Mark mark
    Mark valley

# A finished excursion: a row of ``found``; names in FOUND.
cdef struct Found:
    double kind
    double plane
    double side
    double start_t
    double end_t
    double opened_t
    double closed_t
    double base
    double peak_x
    double peak_t
    double[2] most
    double[2] at_peak
    double path
    double fastest
    double sd
    double held
    double level
    double mark_x

# The smoothed rows of the last half second: a plane of ``recent``, and room to sort them.
cdef struct Recent:
    double* by_time
    double* by_size
    Py_ssize_t n

# The smoothed row a machine is at.
cdef struct Row:
    double t
    double[3] x              # the machine's own plane first
    double sd
    Recent recent
    double inner             # thresholds at the present noise
    double start

# Where finished excursions go.
cdef struct Finds:
    Found* rows
    Py_ssize_t n

# Values, units and sources of the settings stand in the Python half; the order is that of SETTINGS.
cdef struct Settings:
    double rate_hz
    double start_deg
    double start_noise
    double inner_deg
    double inner_noise
    double band_deg
    double band_share
    double return_share
    double rise_share
    double bounce_deg
    double dwell_s
    double hold_deg
    double hold_noise
    double settle_s
    double rest_hold_s
    double rest_deg
    double change_hold_s
    double upright_hold_s
    double stay_s
    double longest_s
    double slow_share
    double noise_rows
    double quiet             # variance of the noise below which it matters to no threshold


cdef inline double larger(double a, double b) noexcept nogil:
    return a if a > b else b


cdef inline double smaller(double a, double b) noexcept nogil:
    return a if a < b else b


cdef inline double enter(double value, double* window, Py_ssize_t width, Py_ssize_t at) noexcept nogil:
    """Put a value into a doubled window and return the one in its middle."""
    window[at] = value
    window[at + width] = value
    return window[at + 1 + width // 2]


cdef inline void smooth(
    const double[:, ::1] angle,
    const double[:, ::1] sd,
    Py_ssize_t row,
    const double[::1] weights,
    const Settings* settings,
    double[:, ::1] state,
    double[:, :, ::1] window,
    Py_ssize_t at,
    double* x,
) noexcept nogil:
    """Take a row of three planes in, give the smoothed angles of half a window earlier; NaN while there is none."""
    cdef Py_ssize_t p, k, width = weights.shape[0], half = weights.shape[0] // 2
    cdef const double* a = &window[1, 0, 0] + at + 1
    cdef const double* b = &window[2, 0, 0] + at + 1
    cdef const double* c = &window[3, 0, 0] + at + 1
    cdef bint[3] whole
    for p in range(3):
        whole[p] = take(
            angle[p, row], sd[p, row], <Plane*>&state[p, 0], &window[1 + p, 0, 0], &window[4 + p, 0, 0], width, at
        )
    # Three sums side by side, since each waits for itself; weights are the same on both sides of the middle.
    cdef double x0 = weights[half] * a[half], x1 = weights[half] * b[half], x2 = weights[half] * c[half]
    for k in range(half):
        x0 += weights[k] * (a[k] + a[width - 1 - k])
        x1 += weights[k] * (b[k] + b[width - 1 - k])
        x2 += weights[k] * (c[k] + c[width - 1 - k])
    x[0], x[1], x[2] = x0, x1, x2
    for p in range(3):
        if whole[p]:
            measure((&window[1 + p, 0, 0])[at + 1 + half] - x[p], settings, <Plane*>&state[p, 0])
        else:
            x[p] = NAN


cdef inline bint take(
    double angle, double sd, Plane* plane, double* window, double* window_sd, Py_ssize_t width, Py_ssize_t at
) noexcept nogil:
    """Take a row into the windows of a plane and tell whether they are full; missing rows repeat the last one."""
    cdef Py_ssize_t k, half = width // 2
    if isnan(angle):
        plane.missing += 1.0
        if plane.missing > half or plane.filled == 0.0:  # the middle of the window is past the last row that was there
            plane.filled = 0.0
            return False
        angle = window[(at + width - 1) % width]
        sd = window_sd[(at + width - 1) % width]
    else:
        plane.missing = 0.0
    if plane.filled == 0.0:
        plane.filled = half
        for k in range(2 * width):
            window[k] = angle
            window_sd[k] = sd
    enter(angle, window, width, at)
    enter(sd, window_sd, width, at)
    if plane.filled < width:
        plane.filled += 1.0
    return plane.filled == width


cdef inline void measure(double residual, const Settings* settings, Plane* plane) noexcept nogil:
    """Follow the variance of what the smoothing takes away."""
    if plane.noise_n < settings.noise_rows:
        plane.noise_n += 1.0
    plane.noise += (residual * residual - plane.noise) / plane.noise_n


cdef inline void remember(double x, Plane* plane, Recent* recent) noexcept nogil:
    """Put a smoothed row in the place of the oldest."""
    cdef Py_ssize_t k, at = <Py_ssize_t>plane.recent_at
    if plane.recent_n == 0.0:
        for k in range(recent.n):
            recent.by_time[k] = x
        plane.recent_n = 1.0
    recent.by_time[at] = x
    plane.recent_at = at + 1 if at + 1 < recent.n else 0


cdef inline double median(const Recent* recent) noexcept nogil:
    """Return the median of the last half second."""
    cdef Py_ssize_t k, j
    for k in range(recent.n):
        j = k
        while j > 0 and recent.by_size[j - 1] > recent.by_time[k]:
            recent.by_size[j] = recent.by_size[j - 1]
            j -= 1
        recent.by_size[j] = recent.by_time[k]
    return recent.by_size[recent.n // 2]


cdef inline double most_held(double latest, double side, double held, const Recent* recent) noexcept nogil:
    """Return the largest median so far of ``side`` times the last half second; to be asked for at every row.

    One row came since. So where the median has grown beyond ``held``, just more than half of the rows lie beyond
    it, and the least of these is the median.
    """
    cdef Py_ssize_t k, beyond = 0
    cdef double least = INFINITY
    if held == -INFINITY:
        return side * median(recent)
    if side * latest > held:
        for k in range(recent.n):
            if side * recent.by_time[k] > held:
                beyond += 1
                least = smaller(least, side * recent.by_time[k])
    return least if 2 * beyond > recent.n else held
