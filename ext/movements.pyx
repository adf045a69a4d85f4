"""Angles in, finished excursions out: a hysteresis machine a plane (compiled half of segmentation/movements.py).

Each plane remembers the level it rests at. Row n needs what row n - 1 left behind, so the loop is here. Planes do not
know each other except that each notes how far the other two moved during its own excursion; the Python half decides
with that which excursions are one movement. Shapes and values are checked there; nothing here raises or allocates.
"""

from libc.math cimport INFINITY, NAN, fabs, isnan, sqrt
from movement_state cimport (
    ABORTED, AT_REST, AWAY, OUT, POSTURE_CHANGE, REPETITION, REST, RETURNING, Finds, Found, Mark, Plane, Row, Settings,
    WHOLE, enter, larger, most_held, remember, smaller, smooth,
)

STATE_SIZE = sizeof(Plane) // sizeof(double)
FOUND = (
    "kind", "plane", "side", "start_t", "end_t", "opened_t", "closed_t", "base", "peak_x", "peak_t",
    "most_a", "most_b", "at_peak_a", "at_peak_b", "path", "fastest", "sd", "held", "level", "mark_x",
)
SETTINGS = (
    "rate_hz", "start_deg", "start_noise", "inner_deg", "inner_noise", "band_deg", "band_share", "return_share",
    "rise_share", "bounce_deg", "dwell_s", "hold_deg", "hold_noise", "settle_s", "rest_hold_s", "rest_deg",
    "change_hold_s", "upright_hold_s", "stay_s", "longest_s", "slow_share", "noise_rows", "quiet",
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
    Py_ssize_t first,
):
    """Move the machines on by the rows from ``first`` on; stop early when ``found`` may not hold another row's finds.

    time       (n,)           s, increasing
    angle, sd  (3, n)         degrees; NaN where missing
    weights    (w,)           symmetric smoothing weights, w odd; w // 2 missing rows in a row are bridged, more end
                              what is open
    settings   (23,)          in the order of SETTINGS
    state      (3, STATE_SIZE)  zero at first, overwritten
    window     (7, 2, w)      time, then angle and sd of the planes: the last w rows, twice, so that they always lie
                              one behind the other; overwritten
    recent     (3, 2, k)      the last k smoothed rows, by time and by size, k odd; overwritten
    found      (m, 20)        columns as in FOUND, m >= 6; overwritten
    count      (3,)           overwritten: next row, rows found, position in ``window`` (kept between calls)
    """
    with nogil:
        _advance(time, angle, sd, weights, <Settings*>&settings[0], state, window, recent, found, count, first)


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
    Py_ssize_t first,
) noexcept nogil:
    cdef Py_ssize_t i = first, p, width = weights.shape[0], half = weights.shape[0] // 2
    cdef double[5] x
    cdef Row row
    cdef Finds finds
    cdef Plane* plane
    finds.rows = <Found*>&found[0, 0]
    finds.n = 0
    row.recent.n = recent.shape[2]
    # A row finds at most one excursion a plane; a margin costs nothing.
    while i < time.shape[0] and finds.n + 6 <= found.shape[0]:
        row.t = enter(time[i], &window[0, 0, 0], width, count[2])
        smooth(angle, sd, i, weights, settings, state, window, count[2], x)
        x[3] = x[0]  # so that the others of plane p are p + 1 and p + 2
        x[4] = x[1]
        for p in range(3):
            plane = <Plane*>&state[p, 0]
            plane.index = p
            if not isnan(x[p]):
                row.x = [x[p], x[p + 1], x[p + 2]]
                row.sd = (&window[4 + p, 0, 0])[count[2] + 1 + half]
                row.recent.by_time = &recent[p, 0, 0]
                row.recent.by_size = &recent[p, 1, 0]
                remember(x[p], plane, &row.recent)
                _step(&row, settings, plane, &finds)
            elif plane.seeded != 0.0 and plane.missing == half + 1:
                _cut_off(settings, plane, &finds)
        count[2] = count[2] + 1 if count[2] + 1 < width else 0
        i += 1
    count[0] = i
    count[1] = finds.n


cdef void _step(Row* row, const Settings* settings, Plane* plane, Finds* finds) noexcept nogil:
    """Move one machine on by one smoothed row."""
    cdef double noise = 0.0, x = row.x[0], step
    # The noise of few rows is itself uncertain; the margin shrinks from 60 % at 5 rows to 4 % at 100.
    if not 9.0 * plane.noise <= settings.quiet:  # whatever the margin, it would change no threshold
        noise = sqrt(plane.noise * (1.0 + 8.0 / plane.noise_n))
    row.inner = larger(settings.inner_deg, settings.inner_noise * noise)
    row.start = larger(settings.start_deg, settings.start_noise * noise)
    if plane.seeded == 0.0 or row.t - plane.t > settings.change_hold_s:  # after a long gap nothing is known of the rest
        _seed(row, plane)
    elif (
        plane.cut == AT_REST
        and row.t - plane.t > settings.rest_hold_s
        and fabs(x - plane.level) > settings.rest_deg
        and _is_upright(row, plane.level, settings)
    ):
        _seed(row, plane)  # somebody who slouched has stood up
        plane.cut = AWAY
    elif (row.t - plane.t) * settings.rate_hz > 2.5:
        _anchor(row, plane)
    step = fabs(x - plane.x)
    _since(row, step, step * settings.rate_hz, &plane.mark)
    if plane.mode != REST:
        _since(row, step, step * settings.rate_hz, &plane.valley)
    plane.x = x
    plane.t = row.t
    plane.slow += (x - plane.slow) * settings.slow_share
    if fabs(x - plane.anchor_x) > larger(settings.hold_deg, settings.hold_noise * noise):
        _anchor(row, plane)
    plane.hold_sum += x
    plane.hold_n += 1.0
    if plane.mode == REST:
        _rest(row, settings, plane)
    if plane.mode != REST:
        plane.sd_sum += row.sd
        plane.sd_n += 1.0
        _move(row, settings, plane, finds)


cdef void _seed(const Row* row, Plane* plane) noexcept nogil:
    """Take the row as the level, for want of anything better."""
    plane.cut = WHOLE
    plane.seeded = 1.0
    plane.seeded_t = row.t
    plane.mode = REST
    plane.level = row.x[0]
    plane.slow = row.x[0]
    plane.x = row.x[0]
    plane.visited_t = row.t
    _anchor(row, plane)
    _set_mark(row, 0.0, &plane.mark)


cdef void _anchor(const Row* row, Plane* plane) noexcept nogil:
    """Begin to look for a held posture here."""
    plane.anchor_x = row.x[0]
    plane.anchor_t = row.t
    plane.hold_sum = 0.0
    plane.hold_n = 0.0


cdef void _set_mark(const Row* row, double distance, Mark* mark) noexcept nogil:
    mark.t = row.t
    mark.x = row.x[0]
    mark.distance = distance
    mark.other = [row.x[1], row.x[2]]
    mark.most = [0.0, 0.0]
    mark.path = 0.0
    mark.fastest = 0.0


cdef void _since(const Row* row, double step, double speed, Mark* mark) noexcept nogil:
    """Note what happened since the mark was set."""
    cdef Py_ssize_t k
    mark.path += step
    mark.fastest = larger(mark.fastest, speed)
    for k in range(2):
        if isnan(mark.other[k]):
            mark.other[k] = row.x[1 + k]
        if not isnan(row.x[1 + k]):
            mark.most[k] = larger(mark.most[k], fabs(row.x[1 + k] - mark.other[k]))


cdef void _rest(const Row* row, const Settings* settings, Plane* plane) noexcept nogil:
    """At rest: follow the held level, mark the row nearest to it, open an excursion when it is left."""
    cdef double d = row.x[0] - plane.level
    plane.visited_t = row.t
    if fabs(d) <= larger(row.inner, plane.mark.distance):
        _set_mark(row, fabs(d), &plane.mark)
    elif d * (plane.mark.x - plane.level) < 0.0:  # so fast through the level that no row fell near it
        _set_mark(row, 0.0, &plane.mark)
        plane.mark.x = plane.level
    if fabs(d) <= row.inner and (row.t - plane.seeded_t > settings.settle_s or plane.cut == AT_REST):
        plane.cut = WHOLE
    if row.t - plane.seeded_t <= settings.settle_s and plane.anchor_t <= plane.seeded_t:
        plane.level = plane.hold_sum / plane.hold_n
    elif row.t - plane.anchor_t >= settings.rest_hold_s:
        plane.cut = WHOLE
        plane.level = plane.hold_sum / plane.hold_n
        _set_mark(row, 0.0, &plane.mark)
    elif fabs(d) > row.start and fabs(row.x[0] - plane.mark.x) > row.start:
        _open(row, plane.level if plane.mark.distance <= row.inner else plane.mark.x, d, settings, plane)


cdef void _open(const Row* row, double base, double side, const Settings* settings, Plane* plane) noexcept nogil:
    """Begin an excursion at the mark."""
    plane.mode = OUT
    plane.opened_t = row.t
    plane.out_t = row.t
    # Who hovers near the level has not started.
    plane.start_t = larger(plane.mark.t, row.t - settings.change_hold_s)
    plane.base = base
    plane.side = 1.0 if side > 0.0 else -1.0
    plane.sd_sum = 0.0
    plane.sd_n = 0.0
    plane.held = -INFINITY
    _set_mark(row, INFINITY, &plane.valley)
    _peak(row, plane)


cdef void _peak(const Row* row, Plane* plane) noexcept nogil:
    plane.peak_x = row.x[0]
    plane.peak_t = row.t
    plane.at_peak = [row.x[1] - plane.mark.other[0], row.x[2] - plane.mark.other[1]]


cdef void _move(const Row* row, const Settings* settings, Plane* plane, Finds* finds) noexcept nogil:
    """Away from the level: follow the peak, then the way back, until it is back, turns round, or stays away."""
    cdef double out = plane.side * (row.x[0] - plane.base), hold_s
    cdef bint held
    plane.held = most_held(row.x[0], plane.side, plane.held, &row.recent)
    if out > _amplitude(plane):
        if plane.mode == RETURNING:
            plane.out_t = row.t
        plane.mode = OUT
        _peak(row, plane)
    if plane.mode == OUT and out <= settings.return_share * _amplitude(plane):
        plane.mode = RETURNING
        _anchor(row, plane)  # what was held out there is no rest
        plane.hold_sum, plane.hold_n = row.x[0], 1.0
        plane.band_t = INFINITY
        plane.valley.distance = INFINITY
    hold_s = settings.upright_hold_s if _is_upright(row, plane.base, settings) else settings.change_hold_s
    held = row.t - plane.anchor_t >= hold_s
    if plane.mode == RETURNING and _is_over(row, settings, plane):
        _close(row, settings, plane, finds)
    elif (
        held
        or (plane.mode == OUT and row.t - plane.out_t >= settings.stay_s)
        or row.t - plane.opened_t >= settings.longest_s
    ):
        plane.level = plane.hold_sum / plane.hold_n if held else plane.slow
        _report(row.t, row.t, POSTURE_CHANGE, plane, finds)
        _set_mark(row, 0.0, &plane.mark)


cdef inline bint _is_upright(const Row* row, double base, const Settings* settings) noexcept nogil:
    """Who slouched and is upright again has changed posture, sooner than somebody who leaves upright."""
    cdef double x = fabs(row.x[0]), level = fabs(base)
    return x < level and x <= larger(settings.start_deg, 0.5 * level)


cdef inline double _amplitude(const Plane* plane) noexcept nogil:
    return plane.side * (plane.peak_x - plane.base)


cdef inline double _band(const Settings* settings, const Plane* plane) noexcept nogil:
    return larger(settings.band_deg, settings.band_share * _amplitude(plane))


cdef bint _is_over(const Row* row, const Settings* settings, Plane* plane) noexcept nogil:
    """On the way back: note the nearest row, and say whether the excursion is over."""
    cdef double away = plane.side * (row.x[0] - plane.level), band = larger(row.inner, _band(settings, plane))
    if away < plane.valley.distance:
        plane.band_t = smaller(plane.band_t, row.t) if away <= band else INFINITY
        _set_mark(row, away, &plane.valley)
    if away <= row.inner:
        return True
    if plane.valley.distance <= band:
        return row.t - plane.band_t >= settings.dwell_s or away - plane.valley.distance >= settings.bounce_deg
    # A rest is seldom quite where the last one was.
    if row.t - plane.anchor_t >= settings.rest_hold_s:
        return away <= larger(settings.rest_deg, settings.rise_share * _amplitude(plane))
    # Bends that never come back to the level: each turning point on the near side ends one and starts the next.
    return away - plane.valley.distance >= larger(row.start, settings.rise_share * _amplitude(plane))


cdef void _close(const Row* row, const Settings* settings, Plane* plane, Finds* finds) noexcept nogil:
    """End an excursion at its valley, which is where the next one may start."""
    cdef double past = plane.side * (row.x[0] - plane.level)
    _report(row.t, plane.valley.t, REPETITION if plane.cut == WHOLE else ABORTED, plane, finds)
    plane.cut = WHOLE
    plane.mark = plane.valley
    if row.t - plane.anchor_t >= settings.rest_hold_s:
        plane.level = plane.hold_sum / plane.hold_n
        _set_mark(row, 0.0, &plane.mark)
    elif past < -row.inner:  # so fast through the level that no row fell near it
        plane.mark.distance = 0.0
        plane.mark.x = plane.level
    elif plane.valley.distance <= row.inner:
        plane.mark.distance = fabs(plane.valley.distance)
    elif past - plane.valley.distance >= row.start and past > row.start:
        if row.t - plane.visited_t > settings.longest_s:
            plane.level = plane.valley.x
        _open(row, plane.mark.x, plane.side, settings, plane)


cdef void _cut_off(const Settings* settings, Plane* plane, Finds* finds) noexcept nogil:
    """Rows are missing: an excursion that was nearly back is over, any other one is aborted."""
    cdef double cut = AT_REST if plane.mode == REST and plane.cut != AWAY else AWAY
    if plane.mode == RETURNING and plane.valley.distance <= _band(settings, plane) and plane.cut == WHOLE:
        _report(plane.t, plane.valley.t, REPETITION, plane, finds)
    elif plane.mode != REST:
        _report(plane.t, plane.t, ABORTED, plane, finds)
    plane.cut = cut
    plane.recent_n = 0.0
    plane.mark.x = plane.level
    plane.mark.distance = INFINITY  # the next row is marked, however far away


cdef void _report(double t, double end, double kind, Plane* plane, Finds* finds) noexcept nogil:
    """Write down the excursion that began at the mark, and be at rest."""
    cdef Found* row = &finds.rows[finds.n]
    row.kind = kind
    row.plane = plane.index
    row.side = plane.side
    row.start_t = plane.start_t
    row.end_t = end
    row.opened_t = plane.opened_t
    row.closed_t = t
    row.base = plane.base
    row.peak_x = plane.peak_x
    row.peak_t = plane.peak_t
    row.most = plane.mark.most
    row.at_peak = plane.at_peak
    row.path = plane.mark.path
    row.fastest = plane.mark.fastest
    row.sd = plane.sd_sum / plane.sd_n if plane.sd_n > 0.0 else NAN
    row.held = plane.side * plane.held
    row.level = plane.level
    row.mark_x = plane.mark.x
    finds.n += 1
    plane.mode = REST
