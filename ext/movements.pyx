"""Angles in, finished excursions out: a hysteresis machine a plane (compiled half of imuposture/metrics/movements.py).

Each plane remembers the level it rests at. Row n needs what row n - 1 left behind, so the loop is here. Planes do not
know each other except that each notes how far the other two moved during its own excursion; the Python half decides
with that which excursions are one movement. Shapes and values are checked there; nothing here raises or allocates.
"""

from libc.math cimport INFINITY, NAN, fabs, isnan, sqrt

cdef enum:
    REST = 0
    OUT = 1
    RETURNING = 2

cdef enum:
    REPETITION = 0
    POSTURE_CHANGE = 1
    ABORTED = 2

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
    double median_n
    double median_at
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

# Values, units and sources of the settings stand in the Python half; the order is that of SETTINGS.
cdef struct Settings:
    double dt
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
    double change_hold_s
    double stay_s
    double longest_s
    double slow_s
    double noise_rows

STATE_SIZE = sizeof(Plane) // sizeof(double)
FOUND = (
    "kind", "plane", "side", "start_t", "end_t", "opened_t", "closed_t", "base", "peak_x", "peak_t",
    "most_a", "most_b", "at_peak_a", "at_peak_b", "path", "fastest", "sd", "held", "level", "mark_x",
)
SETTINGS = (
    "dt", "start_deg", "start_noise", "inner_deg", "inner_noise", "band_deg", "band_share", "return_share",
    "rise_share", "bounce_deg", "dwell_s", "hold_deg", "hold_noise", "settle_s", "rest_hold_s", "change_hold_s", "stay_s",
    "longest_s", "slow_s", "noise_rows",
)


def advance(
    const double[::1] time,
    const double[:, ::1] angle,
    const double[:, ::1] sd,
    const double[::1] weights,
    const double[::1] settings,
    double[:, ::1] state,
    double[:, :, ::1] window,
    double[:, :, ::1] recent,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
):
    """Move the machines on by the rows of ``angle``; stop early when ``found`` may not hold another row's finds.

    time       (n,)           s, increasing
    angle, sd  (n, 3)         degrees; NaN where missing
    weights    (w,)           symmetric smoothing weights, w odd; w // 2 missing rows in a row are bridged, more end
                              what is open
    settings   (20,)          in the order of SETTINGS
    state      (3, STATE_SIZE)  zero at first, overwritten
    window     (7, 2, w)      time, then angle and sd of the planes: the last w rows, twice, so that they always lie
                              one behind the other; overwritten
    recent     (3, 2, k)      the last k smoothed rows, by time and by size, k odd; overwritten
    found      (m, 20)        columns as in FOUND, m >= 6; overwritten
    count      (3,)           overwritten: rows consumed, rows found, position in ``window`` (kept between calls)
    """
    with nogil:
        _advance(time, angle, sd, weights, <Settings*>&settings[0], state, window, recent, found, count)


cdef void _advance(
    const double[::1] time,
    const double[:, ::1] angle,
    const double[:, ::1] sd,
    const double[::1] weights,
    const Settings* settings,
    double[:, ::1] state,
    double[:, :, ::1] window,
    double[:, :, ::1] recent,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
) noexcept nogil:
    cdef Py_ssize_t row = 0, p, width = weights.shape[0], half = weights.shape[0] // 2
    cdef double[5] x
    cdef double t
    cdef Plane* plane
    count[1] = 0
    # A row finds at most one excursion a plane; a margin costs nothing.
    while row < time.shape[0] and count[1] + 6 <= found.shape[0]:
        t = _enter(time[row], &window[0, 0, 0], width, count[2])
        for p in range(3):
            x[p] = _smooth(
                angle[row, p], sd[row, p], weights, settings, <Plane*>&state[p, 0],
                &window[1 + p, 0, 0], &window[4 + p, 0, 0], count[2],
            )
        x[3] = x[0]  # so that the others of plane p are p + 1 and p + 2
        x[4] = x[1]
        for p in range(3):
            plane = <Plane*>&state[p, 0]
            if not isnan(x[p]):
                _remember(x[p], plane, &recent[p, 0, 0], &recent[p, 1, 0], recent.shape[2])
                _step(
                    p, t, &x[p], (&window[4 + p, 0, 0])[count[2] + 1 + half], recent[p, 1, recent.shape[2] // 2],
                    settings, plane, found, count,
                )
            elif plane.seeded != 0.0 and plane.missing == half + 1:
                _cut_off(p, settings, plane, found, count)
        count[2] = (count[2] + 1) % width
        row += 1
    count[0] = row


cdef inline double _enter(double value, double* window, Py_ssize_t width, Py_ssize_t at) noexcept nogil:
    """Put a value into a doubled window and return the one in its middle."""
    window[at] = value
    window[at + width] = value
    return window[at + 1 + width // 2]


cdef double _smooth(
    double angle,
    double sd,
    const double[::1] weights,
    const Settings* settings,
    Plane* plane,
    double* window,
    double* window_sd,
    Py_ssize_t at,
) noexcept nogil:
    """Take a row in and give the smoothed angle of half a window earlier; NaN while there is none."""
    cdef Py_ssize_t k, width = weights.shape[0], half = weights.shape[0] // 2
    cdef double total = 0.0, residual
    if isnan(angle):
        plane.missing += 1.0
        if plane.missing > half or plane.filled == 0.0:  # the middle of the window is past the last row that was there
            plane.filled = 0.0
            return NAN
        angle = window[(at + width - 1) % width]
        sd = window_sd[(at + width - 1) % width]
    else:
        plane.missing = 0.0
    if plane.filled == 0.0:
        plane.filled = half
        for k in range(2 * width):
            window[k] = angle
            window_sd[k] = sd
    residual = _enter(angle, window, width, at)
    _enter(sd, window_sd, width, at)
    if plane.filled < width:
        plane.filled += 1.0
    if plane.filled < width:
        return NAN
    for k in range(width):
        total += weights[k] * window[at + 1 + k]
    residual -= total
    if plane.noise_n < settings.noise_rows:
        plane.noise_n += 1.0
    plane.noise += (residual * residual - plane.noise) / plane.noise_n
    return total


cdef void _remember(double x, Plane* plane, double* recent, double* ordered, Py_ssize_t size) noexcept nogil:
    """Keep the last ``size`` values in order, so that the middle one is their median."""
    cdef Py_ssize_t k, at = <Py_ssize_t>plane.median_at
    cdef double old
    if plane.median_n == 0.0:
        for k in range(size):
            recent[k] = x
            ordered[k] = x
        plane.median_n = 1.0
        return
    old = recent[at]
    recent[at] = x
    plane.median_at = (at + 1) % size
    k = 0
    while ordered[k] != old:
        k += 1
    while k + 1 < size and ordered[k + 1] < x:
        ordered[k] = ordered[k + 1]
        k += 1
    while k > 0 and ordered[k - 1] > x:
        ordered[k] = ordered[k - 1]
        k -= 1
    ordered[k] = x


cdef void _step(
    Py_ssize_t p,
    double t,
    const double* x,
    double sd,
    double median,
    const Settings* settings,
    Plane* plane,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
) noexcept nogil:
    """Move one machine on by one smoothed row; x[1] and x[2] are the other planes."""
    # The noise of few rows is itself uncertain; the margin shrinks from 60 % at 5 rows to 4 % at 100.
    cdef double noise = sqrt(plane.noise * (1.0 + 8.0 / plane.noise_n))
    cdef double inner = _larger(settings.inner_deg, settings.inner_noise * noise)
    cdef double start = _larger(settings.start_deg, settings.start_noise * noise)
    if plane.seeded == 0.0 or t - plane.t > settings.change_hold_s:  # after a long gap nothing is known of the rest
        _seed(t, x, plane)
    elif t - plane.t > 2.5 * settings.dt:
        _anchor(t, x[0], plane)
    _since(x, fabs(x[0] - plane.x), settings.dt, &plane.mark)
    _since(x, fabs(x[0] - plane.x), settings.dt, &plane.valley)
    plane.x = x[0]
    plane.t = t
    plane.slow += (x[0] - plane.slow) * settings.dt / (settings.slow_s + settings.dt)
    if fabs(x[0] - plane.anchor_x) > _larger(settings.hold_deg, settings.hold_noise * noise):
        _anchor(t, x[0], plane)
    plane.hold_sum += x[0]
    plane.hold_n += 1.0
    if plane.mode == REST:
        _rest(t, x, inner, start, settings, plane)
    if plane.mode != REST:
        plane.sd_sum += sd
        plane.sd_n += 1.0
        _move(p, t, x, median, inner, start, settings, plane, found, count)


cdef void _seed(double t, const double* x, Plane* plane) noexcept nogil:
    plane.cut = 0.0
    plane.seeded = 1.0
    plane.seeded_t = t
    plane.mode = REST
    plane.level = x[0]
    plane.slow = x[0]
    plane.x = x[0]
    plane.visited_t = t
    _anchor(t, x[0], plane)
    _set_mark(t, x, 0.0, &plane.mark)


cdef void _anchor(double t, double x, Plane* plane) noexcept nogil:
    plane.anchor_x = x
    plane.anchor_t = t
    plane.hold_sum = 0.0
    plane.hold_n = 0.0


cdef void _set_mark(double t, const double* x, double distance, Mark* mark) noexcept nogil:
    mark.t = t
    mark.x = x[0]
    mark.distance = distance
    mark.other[0] = x[1]
    mark.other[1] = x[2]
    mark.most[0] = 0.0
    mark.most[1] = 0.0
    mark.path = 0.0
    mark.fastest = 0.0


cdef void _since(const double* x, double step, double dt, Mark* mark) noexcept nogil:
    """Note what happened since the mark was set."""
    cdef Py_ssize_t k
    mark.path += step
    mark.fastest = _larger(mark.fastest, step / dt)
    for k in range(2):
        if isnan(mark.other[k]):
            mark.other[k] = x[1 + k]
        if not isnan(x[1 + k]):
            mark.most[k] = _larger(mark.most[k], fabs(x[1 + k] - mark.other[k]))


cdef void _rest(
    double t, const double* x, double inner, double start, const Settings* settings, Plane* plane
) noexcept nogil:
    """At rest: follow the held level, mark the row nearest to it, open an excursion when it is left."""
    cdef double d = x[0] - plane.level
    plane.visited_t = t
    if fabs(d) <= _larger(inner, plane.mark.distance):
        _set_mark(t, x, fabs(d), &plane.mark)
    elif d * (plane.mark.x - plane.level) < 0.0:  # so fast through the level that no row fell near it
        _set_mark(t, x, 0.0, &plane.mark)
        plane.mark.x = plane.level
    if fabs(d) <= inner:
        plane.cut = 0.0
    if t - plane.seeded_t <= settings.settle_s and plane.anchor_t <= plane.seeded_t:
        plane.level = plane.hold_sum / plane.hold_n
    elif t - plane.anchor_t >= settings.rest_hold_s:
        plane.cut = 0.0
        plane.level = plane.hold_sum / plane.hold_n
        _set_mark(t, x, 0.0, &plane.mark)
    elif fabs(d) > start and fabs(x[0] - plane.mark.x) > start:
        _open(t, plane.level if plane.mark.distance <= inner else plane.mark.x, d, x, settings, plane)


cdef void _open(
    double t, double base, double side, const double* x, const Settings* settings, Plane* plane
) noexcept nogil:
    plane.mode = OUT
    plane.opened_t = t
    plane.out_t = t
    plane.start_t = _larger(plane.mark.t, t - settings.change_hold_s)  # who hovers near the level has not started
    plane.base = base
    plane.side = 1.0 if side > 0.0 else -1.0
    plane.sd_sum = 0.0
    plane.sd_n = 0.0
    plane.held = -INFINITY
    plane.peak_x = base
    _set_mark(t, x, INFINITY, &plane.valley)


cdef void _move(
    Py_ssize_t p,
    double t,
    const double* x,
    double median,
    double inner,
    double start,
    const Settings* settings,
    Plane* plane,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
) noexcept nogil:
    """Away from the level: follow the peak, then the way back, until it is back, turns round, or stays away."""
    cdef double out = plane.side * (x[0] - plane.base), away = plane.side * (x[0] - plane.level)
    cdef double amplitude, level
    plane.held = _larger(plane.held, plane.side * median)
    if out > plane.side * (plane.peak_x - plane.base):
        if plane.mode == RETURNING:
            plane.out_t = t
        plane.mode = OUT
        plane.peak_x = x[0]
        plane.peak_t = t
        plane.at_peak[0] = x[1] - plane.mark.other[0]
        plane.at_peak[1] = x[2] - plane.mark.other[1]
    amplitude = plane.side * (plane.peak_x - plane.base)
    if plane.mode == OUT and out <= settings.return_share * amplitude:
        plane.mode = RETURNING
        plane.band_t = INFINITY
        plane.valley.distance = INFINITY
    if plane.mode == RETURNING and _is_over(t, x, away, amplitude, inner, start, settings, plane):
        _close(p, t, x, inner, start, settings, plane, found, count)
    elif (
        t - plane.anchor_t >= settings.change_hold_s
        or (plane.mode == OUT and t - plane.out_t >= settings.stay_s)
        or t - plane.opened_t >= settings.longest_s
    ):
        level = plane.hold_sum / plane.hold_n if t - plane.anchor_t >= settings.change_hold_s else plane.slow
        _report(p, t, t, level, POSTURE_CHANGE, &plane.mark, plane, found, count)
        plane.mode = REST
        plane.level = level
        _set_mark(t, x, 0.0, &plane.mark)


cdef bint _is_over(
    double t,
    const double* x,
    double away,
    double amplitude,
    double inner,
    double start,
    const Settings* settings,
    Plane* plane,
) noexcept nogil:
    """On the way back: note the nearest row, and say whether the excursion is over."""
    cdef double band = _larger(inner, _larger(settings.band_deg, settings.band_share * amplitude))
    if away < plane.valley.distance:
        plane.band_t = _smaller(plane.band_t, t) if away <= band else INFINITY
        _set_mark(t, x, away, &plane.valley)
    if away <= inner:
        return True
    if plane.valley.distance <= band:
        return t - plane.band_t >= settings.dwell_s or away - plane.valley.distance >= settings.bounce_deg
    # Bends that never come back to the level: each turning point on the near side ends one and starts the next.
    return away - plane.valley.distance >= _larger(start, settings.rise_share * amplitude)


cdef void _close(
    Py_ssize_t p,
    double t,
    const double* x,
    double inner,
    double start,
    const Settings* settings,
    Plane* plane,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
) noexcept nogil:
    """End an excursion at its valley, which is where the next one may start."""
    cdef double past = plane.side * (x[0] - plane.level)
    _report(
        p, t, plane.valley.t, plane.level, ABORTED if plane.cut else REPETITION, &plane.mark, plane, found, count
    )
    plane.cut = 0.0
    plane.mode = REST
    plane.mark = plane.valley
    if past < -inner:  # so fast through the level that no row fell near it
        plane.mark.distance = 0.0
        plane.mark.x = plane.level
    elif plane.valley.distance <= inner:
        plane.mark.distance = fabs(plane.valley.distance)
    elif past - plane.valley.distance >= start and past > start:
        if t - plane.visited_t > settings.longest_s:
            plane.level = plane.valley.x
        _open(t, plane.mark.x, plane.side, x, settings, plane)
        plane.peak_x = x[0]
        plane.peak_t = t
        plane.at_peak[0] = x[1] - plane.mark.other[0]
        plane.at_peak[1] = x[2] - plane.mark.other[1]


cdef void _cut_off(
    Py_ssize_t p, const Settings* settings, Plane* plane, double[:, ::1] found, Py_ssize_t[::1] count
) noexcept nogil:
    """Rows are missing: an excursion that was nearly back is over, any other one is aborted."""
    cdef double amplitude = plane.side * (plane.peak_x - plane.base)
    cdef double band = _larger(settings.band_deg, settings.band_share * amplitude)
    cdef double[3] here
    if plane.mode == RETURNING and plane.valley.distance <= band and plane.cut == 0.0:
        _report(p, plane.t, plane.valley.t, plane.level, REPETITION, &plane.mark, plane, found, count)
    elif plane.mode != REST:
        _report(p, plane.t, plane.t, plane.level, ABORTED, &plane.mark, plane, found, count)
    plane.cut = 1.0
    here[0] = plane.level
    here[1] = NAN
    here[2] = NAN
    plane.mode = REST
    plane.median_n = 0.0
    plane.median_at = 0.0
    _set_mark(plane.t, here, INFINITY, &plane.mark)


cdef void _report(
    Py_ssize_t p,
    double t,
    double end,
    double level,
    double kind,
    const Mark* since,
    const Plane* plane,
    double[:, ::1] found,
    Py_ssize_t[::1] count,
) noexcept nogil:
    cdef Found* row = <Found*>&found[count[1], 0]
    row.kind = kind
    row.plane = p
    row.side = plane.side
    row.start_t = plane.start_t
    row.end_t = end
    row.opened_t = plane.opened_t
    row.closed_t = t
    row.base = plane.base
    row.peak_x = plane.peak_x
    row.peak_t = plane.peak_t
    row.most[0] = since.most[0]
    row.most[1] = since.most[1]
    row.at_peak[0] = plane.at_peak[0]
    row.at_peak[1] = plane.at_peak[1]
    row.path = since.path
    row.fastest = since.fastest
    row.sd = plane.sd_sum / plane.sd_n if plane.sd_n > 0.0 else NAN
    row.held = plane.side * plane.held
    row.level = level
    row.mark_x = since.x
    count[1] += 1


cdef inline double _larger(double a, double b) noexcept nogil:
    return a if a > b else b


cdef inline double _smaller(double a, double b) noexcept nogil:
    return a if a < b else b
