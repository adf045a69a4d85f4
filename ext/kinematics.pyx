"""Two orientations -> spinal angles and inclinations, how sure they are (compiled half of imuposture/kinematics.py).

No recursion here, but arctangents on the path of rows: they must have the same bits on every machine.
"""

from libc.math cimport NAN, isnan, sqrt

cdef extern from "spatial.h" nogil:
    double SPATIAL_DEG
    double spatial_atan2(double y, double x) noexcept
    double spatial_asin(double s) noexcept
    void spatial_sincos(double angle, double *sine, double *cosine) noexcept
    void spatial_matrix(const double q[4], double r[9]) noexcept
    double spatial_dot(const double a[3], const double b[3]) noexcept
    void spatial_cross(const double a[3], const double b[3], double out[3]) noexcept

# Rows of ``angles``: the order of PostureBlock.
cdef enum:
    FLEXION, LATERAL, ROTATION, FLEXION_SD, LATERAL_SD, ROTATION_SD
    UPPER_FORWARD, UPPER_SIDE, LOWER_FORWARD, LOWER_SIDE
    UPPER_FORWARD_SD, UPPER_SIDE_SD, LOWER_FORWARD_SD, LOWER_SIDE_SD
    TRUNK

# How sure the parts are that the angles are made of, rad: inclination of each sensor, facing of each sensor (its
# mounting's turn about the vertical; in the upper one's, ``shared`` times the lower one's error is contained), movement
# of the skin on the spine at a radian of posture.
cdef double APART = 0.6  # share of the inclination errors that the two sensors do not have in common

cdef struct Spread:
    double tilt
    double upper_facing
    double lower_facing
    double shared
    double tissue


def posture(
    const double[:, ::1] upper,
    const double[:, ::1] lower,
    const double[::1] delta,
    const double[::1] delta_sd,
    const double[::1] sds,
    double[:, ::1] angles,
):
    """Fill ``angles`` (15, n), degrees, in the order of PostureBlock; NaN where a sensor has no row.

    upper, lower     (n, 4)  segment -> earth, w-first
    delta, delta_sd  (n,)    rad, relative heading; angles that need it are NaN where it is NaN
    sds              (5,)    rad, the members of `Spread`
    """
    cdef Py_ssize_t row
    cdef Spread spread
    spread.tilt, spread.upper_facing, spread.lower_facing = sds[0], sds[1], sds[2]
    spread.shared, spread.tissue = sds[3], sds[4]
    with nogil:
        for row in range(upper.shape[0]):
            _inclination(&upper[row, 0], &spread, spread.upper_facing, angles, row, UPPER_FORWARD)
            _inclination(&lower[row, 0], &spread, spread.lower_facing, angles, row, LOWER_FORWARD)
            _trunk(angles, row)
            _spine(&upper[row, 0], &lower[row, 0], delta[row], delta_sd[row], &spread, angles, row)


cdef void _inclination(
    const double *q, const Spread *sds, double facing, double[:, ::1] angles, Py_ssize_t row, int first
) noexcept nogil:
    """Forward and side inclination against gravity: the Z and X angles of the sequence Y-X-Z in earth."""
    cdef double r[9]
    cdef double upright, forward, side, spread
    spatial_matrix(q, r)  # its last row is the vertical in the segment's axes
    upright = r[6] * r[6] + r[7] * r[7]
    angles[first, row] = SPATIAL_DEG * spatial_atan2(-r[6], r[7])
    angles[first + 1, row] = SPATIAL_DEG * spatial_asin(-r[8])
    # Soft tissue grows with the distance from the neutral stance; a wrong facing turns forward into side.
    spread = sds.tilt * sds.tilt + sds.tissue * sds.tissue * (r[6] * r[6] + r[8] * r[8])
    upright = upright if upright > 1e-6 else 1e-6
    forward = facing * r[8] * r[7] / upright
    side = facing * r[6]
    angles[first + 4, row] = SPATIAL_DEG * sqrt(spread / upright + forward * forward)
    angles[first + 5, row] = SPATIAL_DEG * sqrt(spread + side * side / upright)


cdef void _trunk(double[:, ::1] angles, Py_ssize_t row) noexcept nogil:
    """Mean forward inclination of both sensors, or that of the only one there is."""
    cdef double upper = angles[UPPER_FORWARD, row], lower = angles[LOWER_FORWARD, row]
    if isnan(upper):
        angles[TRUNK, row] = lower
    elif isnan(lower):
        angles[TRUNK, row] = upper
    elif upper - lower > 180.0 or lower - upper > 180.0:  # lying face up: both near +-180 degrees, on either side
        angles[TRUNK, row] = 0.5 * (upper + lower) + (180.0 if upper + lower < 0.0 else -180.0)
    else:
        angles[TRUNK, row] = 0.5 * (upper + lower)


cdef void _spine(
    const double *upper,
    const double *lower,
    double delta,
    double delta_sd,
    const Spread *sds,
    double[:, ::1] angles,
    Py_ssize_t row,
) noexcept nogil:
    """Cardan angles Z-X-Y of the upper segment in the lower one, and their standard deviations."""
    cdef double sine, cosine, w, x, y, z
    cdef double turned[4]
    cdef double relative[4]
    cdef double r[9]
    cdef double vertical[9]
    if isnan(delta):
        for column in range(UPPER_FORWARD):
            angles[column, row] = NAN
        return
    spatial_sincos(0.5 * delta, &sine, &cosine)
    turned[0] = cosine * upper[0] - sine * upper[3]
    turned[1] = cosine * upper[1] - sine * upper[2]
    turned[2] = cosine * upper[2] + sine * upper[1]
    turned[3] = cosine * upper[3] + sine * upper[0]
    w, x, y, z = lower[0], lower[1], lower[2], lower[3]
    relative[0] = w * turned[0] + x * turned[1] + y * turned[2] + z * turned[3]
    relative[1] = w * turned[1] - x * turned[0] - y * turned[3] + z * turned[2]
    relative[2] = w * turned[2] + x * turned[3] - y * turned[0] - z * turned[1]
    relative[3] = w * turned[3] - x * turned[2] + y * turned[1] - z * turned[0]
    spatial_matrix(relative, r)
    angles[FLEXION, row] = SPATIAL_DEG * spatial_atan2(r[1], r[4])
    angles[LATERAL, row] = SPATIAL_DEG * spatial_asin(r[7])
    angles[ROTATION, row] = SPATIAL_DEG * spatial_atan2(r[6], r[8])
    spatial_matrix(lower, vertical)
    _spread(r, &vertical[6], delta_sd, sds, angles, row)


cdef void _spread(
    const double *r, const double *up, double delta_sd, const Spread *sds, double[:, ::1] angles, Py_ssize_t row
) noexcept nogil:
    """First-order propagation: what a small turn of one part about its own axis does to each Cardan angle.

    r   relative rotation, upper segment in the lower one
    up  the vertical in the lower segment's axes
    """
    cdef double cos_lateral = sqrt(r[1] * r[1] + r[4] * r[4])
    cdef double inverse = 1.0 / (cos_lateral if cos_lateral > 1e-3 else 1e-3)
    cdef double sin_a = -r[1] * inverse, cos_a = r[4] * inverse, tan_lateral = r[7] * inverse
    # Rates of the Cardan angles (a = -flexion, b, c = -rotation) for a turn about x, y, z of the lower segment.
    cdef double rate[9]
    cdef double axis[3]
    cdef double bent, total, own, apart
    cdef int angle
    rate[0], rate[1], rate[2] = tan_lateral * sin_a, -tan_lateral * cos_a, 1.0
    rate[3], rate[4], rate[5] = cos_a, sin_a, 0.0
    rate[6], rate[7], rate[8] = -sin_a * inverse, cos_a * inverse, 0.0
    # Zero in the neutral stance by definition, so a wrong facing shows only as far as a segment left the vertical.
    cdef double upper_axis[3]
    cdef double lower_axis[3]
    for angle in range(3):
        upper_axis[angle] = r[3 * angle + 1] - up[angle]
        lower_axis[angle] = (1.0 if angle == 1 else 0.0) - up[angle]
        axis[angle] = up[angle]
    bent = 2.0 * (1.0 - r[4]) + 2.0 * (1.0 - r[0])  # about the square of the posture in rad
    bent = sds.tissue * sds.tissue * (bent if bent < 2.0 else 2.0)
    for angle in range(3):
        total = _square(delta_sd * spatial_dot(&rate[3 * angle], axis))
        own = spatial_dot(&rate[3 * angle], upper_axis)
        apart = sds.shared * own - spatial_dot(&rate[3 * angle], lower_axis)
        total += (_square(sds.upper_facing) - _square(sds.shared * sds.lower_facing)) * own * own
        total += _square(sds.lower_facing) * apart * apart
        # Each sensor's inclination errs about the two horizontal axes only.
        total += 2.0 * _square(APART * sds.tilt) * (
            spatial_dot(&rate[3 * angle], &rate[3 * angle]) - _square(spatial_dot(&rate[3 * angle], axis))
        )
        total += bent * spatial_dot(&rate[3 * angle], &rate[3 * angle])
        angles[FLEXION_SD + angle, row] = SPATIAL_DEG * sqrt(total if total > 0.0 else 0.0)


cdef inline double _square(double x) noexcept nogil:
    return x * x
