/* Rotations and the few transcendental functions on the path of rows.
 *
 * No libm: sin or atan2 of another C library, or of the same one on another processor, may differ in the last bit,
 * and a row must have the same bits everywhere. sqrt is exact by IEEE 754 and therefore allowed. The polynomials are the minimax
 * kernels of fdlibm (Sun Microsystems 1993), evaluated in one fixed order; errors stay below 2 units in the last place.
 * They choose instead of branching, so that a loop over them can be vectors.
 *
 * Quaternions are w-first. A rotation matrix is nine doubles, row by row.
 */
#ifndef IMUPOSTURE_SPATIAL_H
#define IMUPOSTURE_SPATIAL_H

#include <math.h>

#define SPATIAL_PI 3.14159265358979311600
#define SPATIAL_DEG (180.0 / SPATIAL_PI)

/* The direction of (x, y): a multiple of a quarter of pi, which is returned, and an angle from there within +- pi/8, as
 * its tangent. That is what an arctangent does before its series. */
static inline double spatial_fold(double y, double x, double *tangent) {
    double ay = fabs(y), ax = fabs(x);
    double low = ax < ay ? ax : ay, high = ax > ay ? ax : ay;
    int steep = ay > ax, beyond = low > 0.41421356237309503 * high; /* tan(pi/8) */
    double numerator = steep ? -x : y, denominator = steep ? y : x;
    double side = copysign(1.0, numerator) * copysign(1.0, denominator);
    double axis = steep ? copysign(0.5 * SPATIAL_PI, y) : (x < 0.0 ? copysign(SPATIAL_PI, y) : 0.0);
    double over = beyond ? numerator - side * denominator : numerator;
    double under = beyond ? denominator + side * numerator : denominator;
    *tangent = over / (under + 1e-300); /* 0 for (0, 0) */
    return axis + (beyond ? 0.25 * SPATIAL_PI * side : 0.0);
}

/* Arctangent within +- tan(pi/8), rad: its series in pairs of terms and pairs of pairs, which nobody waits for as long as
 * for one term after the other. */
static inline double spatial_arctangent(double u) {
    double z = u * u, z2 = z * z, z4 = z2 * z2;
    double a = 3.33333333333329318027e-01 + z * -1.99999999998764832476e-01;
    double b = 1.42857142725034663711e-01 + z * -1.11111104054623557880e-01;
    double c = 9.09088713343650656196e-02 + z * -7.69187620504482999495e-02;
    double d = 6.66107313738753120669e-02 + z * -5.83357013379057348645e-02;
    double e = 4.97687799461593236017e-02 + z * -3.65315727442169155270e-02;
    double tail = (c + z2 * d) + z4 * (e + z2 * 1.62858201153657823623e-02);
    return u - u * (z * ((a + z2 * b) + z4 * tail));
}

/* Arctangent of y / x in the right quadrant, rad; 0 for (0, 0), NaN for NaN. Odd in y to the last bit. */
static inline double spatial_atan2(double y, double x) {
    double tangent, angle = spatial_fold(y, x, &tangent);
    return angle + spatial_arctangent(tangent);
}

/* Arcsine, rad; arguments a rounding error beyond +-1 count as +-1. */
static inline double spatial_asin(double s) {
    double rest = (1.0 - s) * (1.0 + s);
    return spatial_atan2(s, rest > 0.0 ? sqrt(rest) : (s != s ? s : 0.0));
}

/* Nearest whole number, of two the even one; |x| < 2^51. */
static inline double spatial_nearest(double x) { return (x + 6755399441055744.0) - 6755399441055744.0; }

/* Sine and cosine of an angle of moderate size (|angle| < 1e5 rad). */
static inline void spatial_sincos(double angle, double *sine, double *cosine) {
    double quarter = spatial_nearest(angle * 0.63661977236758138243);
    double r = (angle - quarter * 1.57079632673412561417e+00) - quarter * 6.07710050650619224932e-11;
    double z = r * r;
    double s = 1.58969099521155010221e-10;
    s = -2.50507602534068634195e-08 + z * s;
    s = 2.75573137070700676789e-06 + z * s;
    s = -1.98412698298579493134e-04 + z * s;
    s = 8.33333333332248946124e-03 + z * s;
    s = -1.66666666666666324348e-01 + z * s;
    s = r + r * (z * s);
    double c = -1.13596475577881948265e-11;
    c = 2.08757232129817482790e-09 + z * c;
    c = -2.75573143513906633035e-07 + z * c;
    c = 2.48015872894767294178e-05 + z * c;
    c = -1.38888888888741095749e-03 + z * c;
    c = 4.16666666666666019037e-02 + z * c;
    c = 1.0 - 0.5 * z + z * (z * c);
    double quadrant = quarter - 4.0 * spatial_nearest(0.25 * quarter); /* -2 to 2 */
    double first = quadrant * quadrant == 1.0 ? c : s, second = quadrant * quadrant == 1.0 ? s : c;
    *sine = quadrant < 0.0 ? -first : first;
    *cosine = quadrant > 0.0 ? -second : second;
    *sine = quadrant > 1.0 ? -first : *sine;
    *cosine = quadrant < -1.0 ? -second : *cosine;
}

/* Angle brought into (-pi, pi]. */
static inline double spatial_wrap(double angle) {
    double sine, cosine;
    spatial_sincos(angle, &sine, &cosine);
    return spatial_atan2(sine, cosine);
}

/* Rotation matrix of a unit quaternion. */
static inline void spatial_matrix(const double q[4], double r[9]) {
    double w = q[0], x = q[1], y = q[2], z = q[3];
    r[0] = 1.0 - 2.0 * (y * y + z * z); r[1] = 2.0 * (x * y - w * z);       r[2] = 2.0 * (x * z + w * y);
    r[3] = 2.0 * (x * y + w * z);       r[4] = 1.0 - 2.0 * (x * x + z * z); r[5] = 2.0 * (y * z - w * x);
    r[6] = 2.0 * (x * z - w * y);       r[7] = 2.0 * (y * z + w * x);       r[8] = 1.0 - 2.0 * (x * x + y * y);
}

static inline double spatial_dot(const double a[3], const double b[3]) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static inline void spatial_cross(const double a[3], const double b[3], double out[3]) {
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

#endif
