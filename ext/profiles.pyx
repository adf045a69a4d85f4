"""A movement's rows in, its phases and their smoothness out (compiled half of metrics/segmentation/profiles.py).

Shapes and values are checked there; nothing here raises or allocates. Sources of the measures stand in the Python half.
"""

from libc.math cimport NAN, fabs, sqrt

FOUND = (
    "out_begin", "out_end", "back_begin", "back_end",
    "sparc_out", "jerk_out", "slowings_out", "sparc_back", "jerk_back", "slowings_back",
)
SETTINGS = ("rate_hz", "span", "core_low", "core_high", "still", "ends", "fewest", "cut_hz", "threshold", "noise_share")

cdef struct Settings:
    double rate_hz
    double span
    double core_low
    double core_high
    double still
    double ends
    double fewest
    double cut_hz
    double threshold
    double noise_share

# Rows ``begin`` to before ``end``.
cdef struct Span:
    Py_ssize_t begin
    Py_ssize_t end


def describe(
    const double[::1] away,
    Py_ssize_t first,
    Py_ssize_t last,
    const double[::1] settings,
    const double[:, :, ::1] basis,
    double gain,
    const double[::1] cosine,
    double[:, ::1] work,
    double[::1] found,
):
    """Find the way out and the way back of a movement, and how smooth each is.

    away      (n,)         how far the movement is from its level, degrees, evenly in time, at most ``work``'s rows / 16
    first, last            the farthest row is one of these, and those between
    settings  (10,)        in the order of SETTINGS
    basis     (3, d, m)    polynomials orthonormal over m points, and their first and third derivatives
    gain      float        what white noise of variance 1 adds to the integral of the squared third derivative
    cosine    (w / 4 + 1,) quarter of a wave of w steps, w a power of 2
    work      (4, w)       overwritten
    found     (10,)        in the order of FOUND, overwritten; NaN where nothing can be said
    """
    with nogil:
        _describe(away, first, last, <const Settings*>&settings[0], basis, gain, cosine, work, found)


def sparc(const double[::1] speed, const double[::1] settings, const double[::1] cosine, double[:, ::1] work):
    """Return the spectral arc length of a speed profile; arguments as those of `describe`."""
    cdef double arc
    cdef Py_ssize_t k
    for k in range(speed.shape[0]):
        work[0, k] = speed[k]
    with nogil:
        arc = _sparc(speed.shape[0], <const Settings*>&settings[0], cosine, work)
    return arc


def jerk(
    const double[::1] angle, const double[::1] settings, const double[:, :, ::1] basis, double gain, double[:, ::1] work
):
    """Return the integral of squared jerk by squared largest speed of a phase; arguments as those of `describe`."""
    cdef double value
    cdef const Settings* known = <const Settings*>&settings[0]
    with nogil:
        value = _jerk(&angle[0], angle.shape[0], known.noise_share, basis, gain, work)
    return value


cdef void _describe(
    const double[::1] away,
    Py_ssize_t first,
    Py_ssize_t last,
    const Settings* settings,
    const double[:, :, ::1] basis,
    double gain,
    const double[::1] cosine,
    double[:, ::1] work,
    double[::1] found,
) noexcept nogil:
    cdef Py_ssize_t n = away.shape[0], top = first, k, middle
    cdef Span out, back
    for k in range(found.shape[0]):
        found[k] = NAN
    for k in range(first, last + 1):
        if away[k] > away[top]:
            top = k
    if top < 2 or top > n - 3 or away[top] <= 0.0:
        return
    for k in range(top + 1):
        work[0, k] = away[k]
    if not _phase(top, settings, work, &out):
        return
    for k in range(n - top):
        work[0, k] = away[n - 1 - k]
    if not _phase(n - 1 - top, settings, work, &back):
        return
    back.begin, back.end = n - back.end, n - back.begin
    found[0], found[1], found[2], found[3] = out.begin, out.end, back.begin, back.end
    middle = (out.end + back.begin) // 2
    _smoothness(away, out, 0, middle + 1, settings, basis, gain, cosine, work, &found[4])
    _smoothness(away, back, middle, n, settings, basis, gain, cosine, work, &found[7])


cdef bint _phase(Py_ssize_t last, const Settings* settings, double[:, ::1] work, Span* phase) noexcept nogil:
    """Find the rows of a way in ``work[0]`` that goes up to row ``last``, its farthest; speeds go to ``work[1]``."""
    cdef Py_ssize_t k, begin = 0, end, ahead, behind, span = <Py_ssize_t>settings.span
    cdef double fastest = 0.0, size = work[0, last]
    for k in range(last + 1):
        if work[0, k] < settings.core_low * size:
            begin = k
    end = begin
    while end < last and work[0, end] <= settings.core_high * size:
        end += 1
    if end <= begin:
        return False
    for k in range(last + 1):
        ahead = k + span if k + span < last else last
        behind = k - span if k > span else 0
        work[1, k] = fabs(work[0, ahead] - work[0, behind]) / (ahead - behind)
        if begin <= k <= end and work[1, k] > fastest:
            fastest = work[1, k]
    while begin > 0 and work[1, begin] >= settings.still * fastest and work[0, begin] > -settings.core_low * size:
        begin -= 1
    while end < last and work[1, end] >= settings.still * fastest:
        end += 1
    phase.begin, phase.end = begin, end + 1
    return True


cdef void _smoothness(
    const double[::1] away,
    Span phase,
    Py_ssize_t first,
    Py_ssize_t last,
    const Settings* settings,
    const double[:, :, ::1] basis,
    double gain,
    const double[::1] cosine,
    double[:, ::1] work,
    double* found,
) noexcept nogil:
    """Note arc length, jerk and slowings of a phase with its slow ends, within the rows ``first`` to ``last``."""
    cdef Py_ssize_t k, n, wide = 2 * <Py_ssize_t>settings.span + 1
    cdef Py_ssize_t more = <Py_ssize_t>(settings.ends * (phase.end - phase.begin)) + 1
    phase.begin = phase.begin - more if phase.begin - more > first else first
    phase.end = phase.end + more if phase.end + more < last else last
    n = phase.end - phase.begin
    if n < settings.fewest or n <= wide + 1:
        return
    for k in range(n - 1):
        work[0, k] = fabs(away[phase.begin + k + 1] - away[phase.begin + k])
    found[0] = _sparc(n - 1, settings, cosine, work)
    found[1] = _jerk(&away[phase.begin], n, settings.noise_share, basis, gain, work)
    for k in range(n - wide):
        work[0, k] = fabs(away[phase.begin + k + wide] - away[phase.begin + k])
    found[2] = _slowings(n - wide, work)


cdef double _sparc(
    Py_ssize_t n, const Settings* settings, const double[::1] cosine, double[:, ::1] work
) noexcept nogil:
    """Return the spectral arc length of the ``n`` speeds in ``work[0]``."""
    cdef Py_ssize_t bins = 16, k, last = 0, first = -1, high, row
    cdef double largest = 0.0, arc = 0.0, step, change
    while bins < 16 * n:
        bins *= 2
    for k in range(n):
        work[1, k] = 0.0
    high = <Py_ssize_t>(settings.cut_hz * bins / settings.rate_hz) + 1
    high = high if high < bins // 2 + 1 else bins // 2 + 1
    row = _transform(bins, n, high, cosine, work)
    for k in range(high):
        work[row, k] = sqrt(work[row, k] * work[row, k] + work[row + 1, k] * work[row + 1, k])
        if work[row, k] > largest:
            largest = work[row, k]
    for k in range(high):
        if work[row, k] >= settings.threshold * largest:
            first = k if first < 0 else first
            last = k
    if largest <= 0.0 or last <= first:
        return NAN
    step = 1.0 / (last - first)
    for k in range(first, last):
        change = (work[row, k + 1] - work[row, k]) / largest
        arc += sqrt(step * step + change * change)
    return -arc


cdef Py_ssize_t _transform(
    Py_ssize_t n, Py_ssize_t filled, Py_ssize_t wanted, const double[::1] cosine, double[:, ::1] work
) noexcept nogil:
    """Transform n (a power of 2) complex values, in rows 0 and 1 and zero from ``filled`` on, in the order of Stockham.

    Cochran et al. 1967: each stage reads two rows and writes the two others, and values end up in their order. Return
    the row of the real parts; only the first ``wanted`` values are there.
    """
    cdef Py_ssize_t half = n // 2, done = 1, row = 0, k
    while half >= filled:
        _unfold(half, done, filled, cosine, &work[row, 0], &work[row + 1, 0], &work[2 - row, 0], &work[3 - row, 0])
        half, done, row = half // 2, 2 * done, 2 - row
    for k in range(done * filled, n):
        work[row, k] = work[row + 1, k] = 0.0
    while half > 0:
        _stage(half, done, wanted, cosine, work, row)
        half, done, row = half // 2, 2 * done, 2 - row
    return row


cdef inline void _unfold(
    Py_ssize_t half,
    Py_ssize_t done,
    Py_ssize_t filled,
    const double[::1] cosine,
    const double* re,
    const double* im,
    double* to_re,
    double* to_im,
) noexcept nogil:
    """Do a stage in which the second of each pair is zero."""
    cdef Py_ssize_t p, q, k, to
    cdef double c, s
    for p in range(filled):
        _wave(p, half, cosine, &c, &s)
        for q in range(done):
            k, to = done * p + q, 2 * done * p + q
            to_re[to], to_im[to] = re[k], im[k]
            to_re[to + done] = re[k] * c + im[k] * s
            to_im[to + done] = im[k] * c - re[k] * s


cdef inline void _stage(
    Py_ssize_t half, Py_ssize_t done, Py_ssize_t wanted, const double[::1] cosine, double[:, ::1] work, Py_ssize_t row
) noexcept nogil:
    """Do a stage; what is on the way to values that nobody wants is left out."""
    cdef Py_ssize_t p, part, count = done if done < wanted else wanted
    cdef double c, s
    cdef double* to
    cdef const double* a
    cdef const double* b
    for p in range(half):
        for part in range(2):
            a, b = &work[row + part, done * p], &work[row + part, done * (p + half)]
            to = &work[2 - row + part, 2 * done * p]
            _sums(count, a, b, to)
            if wanted > done:
                _differences(done, a, b, to + done)
        if wanted > done:
            _wave(p, half, cosine, &c, &s)
            _turn(done, c, s, &work[2 - row, 2 * done * p + done], &work[3 - row, 2 * done * p + done])


cdef inline void _wave(
    Py_ssize_t p, Py_ssize_t half, const double[::1] cosine, double* c, double* s
) noexcept nogil:
    """Give cosine and sine of p of ``half`` steps of half a wave."""
    cdef Py_ssize_t quarter = cosine.shape[0] - 1, at = p * (2 * quarter // half)
    c[0] = cosine[at] if at <= quarter else -cosine[2 * quarter - at]
    s[0] = cosine[quarter - at] if at <= quarter else cosine[at - quarter]


# One loop for each: with fewer arrays at a time the compiler can tell that they do not overlap, and takes two values.
cdef inline void _sums(Py_ssize_t n, const double* a, const double* b, double* to) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        to[k] = a[k] + b[k]


cdef inline void _differences(Py_ssize_t n, const double* a, const double* b, double* to) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        to[k] = a[k] - b[k]


cdef inline void _turn(Py_ssize_t n, double c, double s, double* re, double* im) noexcept nogil:
    cdef Py_ssize_t k
    cdef double x, y
    for k in range(n):
        x, y = re[k], im[k]
        re[k] = x * c + y * s
        im[k] = y * c - x * s


cdef double _jerk(
    const double* angle,
    Py_ssize_t n,
    double noise_share,
    const double[:, :, ::1] basis,
    double gain,
    double[:, ::1] work,
) noexcept nogil:
    """Return the integral of squared jerk by squared largest speed, for a duration of 1; NaN where noise hides it."""
    cdef Py_ssize_t degrees = basis.shape[1], points = basis.shape[2], d, k, row
    cdef double place, part, fastest = 0.0, energy = 0.0, noise = 0.0
    for k in range(points):
        place = k * (n - 1.0) / (points - 1.0)
        row = <Py_ssize_t>place if <Py_ssize_t>place < n - 1 else n - 2
        work[0, k] = angle[row] + (place - row) * (angle[row + 1] - angle[row])
        work[1, k] = work[0, k]
        work[2, k] = 0.0
        work[3, k] = 0.0
    for d in range(degrees):
        part = 0.0
        for k in range(points):
            part += basis[0, d, k] * work[0, k]
        for k in range(points):
            work[1, k] -= part * basis[0, d, k]
            work[2, k] += part * basis[1, d, k]
            work[3, k] += part * basis[2, d, k]
    for k in range(points):
        noise += work[1, k] * work[1, k]
        energy += work[3, k] * work[3, k] * (0.5 if k == 0 or k == points - 1 else 1.0)
        if fabs(work[2, k]) > fastest:
            fastest = fabs(work[2, k])
    energy /= points - 1
    noise *= gain / (points - degrees)
    if n < points:  # interpolated points are no new ones
        noise *= (<double>points) / n
    if fastest <= 0.0 or noise > noise_share * energy:
        return NAN
    return energy / (fastest * fastest)


cdef double _slowings(Py_ssize_t n, double[:, ::1] work) noexcept nogil:
    """Return how often the speed in ``work[0]`` falls and rises again by a tenth of its largest."""
    cdef Py_ssize_t k
    cdef double swing = 0.0, high = work[0, 0], low = work[0, 0], count = 0.0, x
    cdef bint falling = False
    for k in range(n):
        swing = work[0, k] if work[0, k] > swing else swing
    swing *= 0.1
    for k in range(n):
        x = work[0, k]
        if falling:
            low = x if x < low else low
            if x - low >= swing:
                count += 1.0
                falling = False
                high = x
        else:
            high = x if x > high else high
            if high - x >= swing:
                falling = True
                low = x
    return count
