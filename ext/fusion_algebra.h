/* Vectors, quaternions (w first) and the few functions of an angle that the orientation filter needs, for all lanes
 * at once. Sums stand in a fixed order; a mirrored input gives the mirrored result bit for bit. */
#ifndef IMUPOSTURE_FUSION_ALGEBRA_H
#define IMUPOSTURE_FUSION_ALGEBRA_H

#include "fusion_lanes.h"

#define PI 3.14159265358979311600
#define PI_REST 1.22464679914735317723e-16 /* PI + PI_REST is pi to 33 digits */

INLINE Lane clamp(Lane a, double limit) { return greater(lesser(a, fill(limit)), fill(-limit)); }

INLINE Lane dot(const Lane a[3], const Lane b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/* s v for a symmetric matrix s, kept as xx xy xz yy yz zz. */
INLINE void multiply_symmetric(const Lane s[6], const Lane v[3], Lane out[3])
{
    out[0] = s[0] * v[0] + s[1] * v[1] + s[2] * v[2];
    out[1] = s[1] * v[0] + s[3] * v[1] + s[4] * v[2];
    out[2] = s[2] * v[0] + s[4] * v[1] + s[5] * v[2];
}

/* m v for a matrix m, kept row after row. */
INLINE void transform(const Lane m[9], const Lane v[3], Lane out[3])
{
    for (int i = 0; i < 3; ++i)
        out[i] = dot(m + 3 * i, v);
}

/* The cofactors of a symmetric matrix; returns its determinant. The inverse is their quotient. */
INLINE Lane cofactors(const Lane s[6], Lane out[6])
{
    out[0] = s[3] * s[5] - s[4] * s[4];
    out[1] = s[2] * s[4] - s[1] * s[5];
    out[2] = s[1] * s[4] - s[2] * s[3];
    out[3] = s[0] * s[5] - s[2] * s[2];
    out[4] = s[1] * s[2] - s[0] * s[4];
    out[5] = s[0] * s[3] - s[1] * s[1];
    return s[0] * out[0] + s[1] * out[1] + s[2] * out[2];
}

/* The inverse of a symmetric matrix. */
INLINE void invert_symmetric(const Lane s[6], Lane out[6])
{
    Lane by_determinant = 1.0 / cofactors(s, out);
    for (int i = 0; i < 6; ++i)
        out[i] *= by_determinant;
}

/* The quaternion product p q; `out` may be p or q. */
INLINE void multiply(const Lane p[4], const Lane q[4], Lane out[4])
{
    Lane w = p[0] * q[0] - p[1] * q[1] - p[2] * q[2] - p[3] * q[3];
    Lane x = p[0] * q[1] + p[1] * q[0] + p[2] * q[3] - p[3] * q[2];
    Lane y = p[0] * q[2] - p[1] * q[3] + p[2] * q[0] + p[3] * q[1];
    Lane z = p[0] * q[3] + p[1] * q[2] - p[2] * q[1] + p[3] * q[0];
    out[0] = w, out[1] = x, out[2] = y, out[3] = z;
}

/* q <- (w, x, y, 0) q: a turn about a horizontal axis. */
INLINE void multiply_level(Lane w, Lane x, Lane y, Lane q[4])
{
    Lane q0 = w * q[0] - x * q[1] - y * q[2];
    Lane q1 = w * q[1] + x * q[0] + y * q[3];
    Lane q2 = w * q[2] - x * q[3] + y * q[0];
    Lane q3 = w * q[3] + x * q[2] - y * q[1];
    q[0] = q0, q[1] = q1, q[2] = q2, q[3] = q3;
}

/* out <- (c, 0, 0, s) q: a turn about the vertical. */
INLINE void multiply_upright(Lane c, Lane s, const Lane q[4], Lane out[4])
{
    out[0] = c * q[0] - s * q[3];
    out[1] = c * q[1] - s * q[2];
    out[2] = c * q[2] + s * q[1];
    out[3] = c * q[3] + s * q[0];
}

/* Length one again. The length was one a row ago, so one Newton step of 1 / sqrt is exact to the last bits. */
INLINE void renormalise(Lane q[4])
{
    Lane scale = 1.5 - 0.5 * (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    for (int i = 0; i < 4; ++i)
        q[i] *= scale;
}

/* q v q*, as v + 2 w (u x v) + 2 u x (u x v) with u the vector part. */
INLINE void rotate(const Lane q[4], const Lane v[3], Lane out[3])
{
    Lane twice[3] = {v[0] + v[0], v[1] + v[1], v[2] + v[2]};
    Lane x = q[2] * twice[2] - q[3] * twice[1];
    Lane y = q[3] * twice[0] - q[1] * twice[2];
    Lane z = q[1] * twice[1] - q[2] * twice[0];
    out[0] = v[0] + q[0] * x + (q[2] * z - q[3] * y);
    out[1] = v[1] + q[0] * y + (q[3] * x - q[1] * z);
    out[2] = v[2] + q[0] * z + (q[1] * y - q[2] * x);
}

/* `size` times the rotation matrix of q, row after row. */
INLINE void matrix(const Lane q[4], double size, Lane out[9])
{
    Lane w = q[0], x = q[1], y = q[2], z = q[3];
    Lane x2 = 2.0 * size * x, y2 = 2.0 * size * y, z2 = 2.0 * size * z;
    out[0] = size - (y * y2 + z * z2);
    out[1] = x * y2 - w * z2;
    out[2] = w * y2 + x * z2;
    out[3] = w * z2 + x * y2;
    out[4] = size - (x * x2 + z * z2);
    out[5] = y * z2 - w * x2;
    out[6] = x * z2 - w * y2;
    out[7] = w * x2 + y * z2;
    out[8] = size - (x * x2 + y * y2);
}

/* cos(a) and sin(a) / a from a^2, for |a| up to pi / 2: the power series to 5e-15, in pairs of terms and pairs of
 * pairs, which are sooner there than one long chain. */
INLINE void quarter_circle(Lane s, Lane *cosine, Lane *sine_by_angle)
{
    Lane s2 = s * s, s4 = s2 * s2;
    Lane even0 = (1.0 - s * (1.0 / 2.0)) + s2 * (1.0 / 24.0 - s * (1.0 / 720.0));
    Lane even4 = (1.0 / 40320.0 - s * (1.0 / 3628800.0)) + s2 * (1.0 / 479001600.0 - s * (1.0 / 87178291200.0));
    Lane even8 = 1.0 / 20922789888000.0 - s * (1.0 / 6402373705728000.0);
    Lane odd0 = (1.0 - s * (1.0 / 6.0)) + s2 * (1.0 / 120.0 - s * (1.0 / 5040.0));
    Lane odd4 = (1.0 / 362880.0 - s * (1.0 / 39916800.0)) + s2 * (1.0 / 6227020800.0 - s * (1.0 / 1307674368000.0));
    Lane odd8 = 1.0 / 355687428096000.0 - s * (1.0 / 121645100408832000.0);
    *cosine = even0 + s4 * (even4 + s4 * even8);
    *sine_by_angle = odd0 + s4 * (odd4 + s4 * odd8);
}

/* The nearest whole number: in this binade a double has no fraction bits. */
INLINE Lane nearest(Lane a) { return (a + 6755399441055744.0) - 6755399441055744.0; }

/* cos(a) and sin(a) / a from a^2 > 0 for any a: a = n pi + r, and the sign changes with n. */
INLINE void whole_circle(Lane squared, Lane *cosine, Lane *sine_by_angle)
{
    Lane angle = root(squared);
    Lane turns = nearest(angle * (1.0 / PI));
    Lane r = (angle - turns * PI) - turns * PI_REST;
    Lane half = turns - 2.0 * nearest(0.5 * turns); /* 0 for even n, 1 or -1 for odd n */
    Lane sign = 1.0 - 2.0 * (half * half);
    quarter_circle(r * r, cosine, sine_by_angle);
    *cosine *= sign;
    *sine_by_angle *= sign * (r / angle);
}

/* cos(a) and sin(a) / a from a^2. Below 0.2, which at 100 Hz is 2290 deg/s, five terms are exact to 3e-14; beyond,
 * lane by lane, the long way. */
INLINE void half_angle(Lane squared, Lane *cosine, Lane *sine_by_angle)
{
    Lane fourth = squared * squared;
    Lane even = (1.0 / 24.0 - squared * (1.0 / 720.0)) + fourth * (1.0 / 40320.0);
    Lane odd = (1.0 / 120.0 - squared * (1.0 / 5040.0)) + fourth * (1.0 / 362880.0);
    *cosine = (1.0 - squared * (1.0 / 2.0)) + fourth * even;
    *sine_by_angle = (1.0 - squared * (1.0 / 6.0)) + fourth * odd;
    Mask wide = squared > fill(0.04);
    if (any(wide)) {
        Lane c, s;
        whole_circle(squared, &c, &s);
        *cosine = choose(wide, c, *cosine);
        *sine_by_angle = choose(wide, s, *sine_by_angle);
    }
}

/* The angle of (x, y), -pi to pi, to 2e-16 of its size; 0 for (0, 0). Folded to |u| <= tan(pi / 8), where a polynomial
 * through the Chebyshev nodes of arctan(u) / u in u^2 does. */
INLINE Lane arctangent(Lane y, Lane x)
{
    Lane ay = magnitude(y), ax = magnitude(x);
    Mask steep = ay > ax, back = x < fill(0.0), below = y < fill(0.0);
    Lane more = choose(steep, ay, ax), less = choose(steep, ax, ay);
    Mask folded = less > 0.4142135623730950488 * more;
    Lane u = choose(folded, less - more, less) / (choose(folded, less + more, more) + 1e-300);
    Lane s = u * u, s2 = s * s;
    Lane even = 0.05688357001430446 + s2 * 0.021135493825330774;
    Lane odd = -0.0664023580756806 + s2 * -0.043480684046164515;
    even = 0.07689953751042947 + s2 * even;
    odd = -0.09090773094750099 + s2 * odd;
    even = 0.11111106181327692 + s2 * even;
    odd = -0.1428571418099578 + s2 * odd;
    even = 0.199999999988553 + s2 * even;
    odd = -0.3333333333332844 + s2 * odd;
    Lane series = 1.0 + s2 * even + s * odd;
    Lane angle = choose(folded, fill(PI / 4), fill(0.0)) + u * series;
    angle = choose(steep, PI / 2 - angle, angle);
    angle = choose(back, PI - angle, angle);
    return choose(below, -angle, angle);
}

#endif
