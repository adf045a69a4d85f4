/* Two orientations -> spinal angles and inclinations, how sure they are. A C file includes this once, for its target.
 *
 * The loops at the end are what the compiler turns into vectors: their bodies have no branch, only choices. Angles are
 * written down as the two sides of their triangles first, and arctangents taken of all rows of a piece afterwards: a
 * processor overlaps rows only where little work lies between them. "ivdep": no column lies over another one. */
#include "kinematics.h"
#include "spatial.h"

static const double APART = 0.6; /* share of the inclination errors that the two sensors do not have in common */

static inline double square(double x) { return x * x; }

static inline double at_least(double x, double least) { return x > least ? x : least; }

/* An angle as its triangle: its tangent is opposite / adjacent. */
typedef struct {
    double opposite, adjacent;
} Triangle;

/* The triangle of an arcsine; a rounding error beyond +-1 counts as +-1. */
static inline Triangle triangle_of_sine(double sine) {
    return (Triangle){sine, sqrt(at_least((1.0 - sine) * (1.0 + sine), 0.0))};
}

/* Forward and side inclination against gravity, the Z and X angles of the sequence Y-X-Z in earth, and their errors. */
static inline void inclination(
    const double q[4], const Spread *sds, double facing, Triangle *forward, Triangle *side, double sd[2]
) {
    double r[9];
    spatial_matrix(q, r); /* its last row is the vertical in the segment's axes */
    *forward = (Triangle){-r[6], r[7]};
    *side = triangle_of_sine(-r[8]);
    /* Soft tissue grows with the distance from the neutral stance; a wrong facing turns forward into side. */
    double spread = sds->tilt * sds->tilt + sds->tissue * sds->tissue * (r[6] * r[6] + r[8] * r[8]);
    double inverse = 1.0 / at_least(r[6] * r[6] + r[7] * r[7], 1e-6);
    double turned = facing * r[8] * r[7] * inverse;
    sd[0] = SPATIAL_DEG * sqrt(spread * inverse + turned * turned);
    sd[1] = SPATIAL_DEG * sqrt(spread + square(facing * r[6]) * inverse);
}

/* Mean forward inclination of both sensors, or that of the only one there is. */
static inline double trunk(double upper, double lower) {
    double apart = fabs(upper - lower), sum = upper + lower;
    double turn = sum < 0.0 ? 180.0 : -180.0; /* lying face up: both near +-180 degrees, on either side */
    double mean = 0.5 * sum + (apart > 180.0 ? turn : 0.0);
    mean = lower != lower ? upper : mean;
    return upper != upper ? lower : mean;
}

/* Rotation of the upper segment in the lower one, after a turn of the upper one about the vertical; of that the sine and
 * cosine of half the angle. */
static inline void relate(const double upper[4], const double lower[4], double sine, double cosine, double r[9]) {
    double w = lower[0], x = lower[1], y = lower[2], z = lower[3];
    double a = cosine * upper[0] - sine * upper[3];
    double b = cosine * upper[1] - sine * upper[2];
    double c = cosine * upper[2] + sine * upper[1];
    double d = cosine * upper[3] + sine * upper[0];
    const double relative[4] = {
        w * a + x * b + y * c + z * d,
        w * b - x * a - y * d + z * c,
        w * c + x * d - y * a - z * b,
        w * d - x * c + y * b - z * a,
    };
    spatial_matrix(relative, r);
}

/* Variances of small turns, rad^2: about the vertical beyond what there is about any axis, about the upright axis of each
 * segment, about any axis. */
typedef struct {
    double vertical, upper, lower, any;
} Turns;

/* First-order propagation to one Cardan angle: how it changes with a small turn about the vertical and the upright axes of
 * the segments, and the square of the change with turns about all axes. */
static inline double deviation(
    double vertical, double upper, double lower, double size, const Turns *turns, double shared
) {
    double apart = shared * upper - lower;
    double total = turns->vertical * square(vertical) + turns->any * size;
    total += turns->upper * square(upper) + turns->lower * square(apart);
    return SPATIAL_DEG * sqrt(at_least(total, 0.0));
}

/* Standard deviations of the Cardan angles of the relative rotation; `y` is its middle column, the upright axis of the upper
 * segment, `xx` and `zz` the ends of its diagonal, `up` the vertical, all in the lower segment's axes. */
static inline void deviations(
    const double y[3], double xx, double zz, double cos_lateral, const double up[3], double delta_sd, const Spread *sds,
    double sd[3]
) {
    /* About the square of the posture in rad: the spine's bend, or how far the trunk leans if that is more, and its twist. */
    double bend = 1.0 - y[1], lean = 1.0 - (up[0] * y[0] + up[1] * y[1] + up[2] * y[2]);
    double posture = 2.0 * at_least(lean, bend) + at_least(1.0 - xx - zz + y[1], 0.0);
    double level = 2.0 * square(APART * sds->tilt); /* about the two horizontal axes only */
    const Turns turns = {
        square(delta_sd) - level,
        square(sds->upper_facing) - square(sds->shared * sds->lower_facing),
        square(sds->lower_facing),
        2.0 * square(sds->tissue) * (posture < 2.0 ? posture : 2.0) + level, /* of two skins */
    };
    /* The axes about which flexion, lateral bend and rotation turn are (-sin b tan l, cos b tan l, 1) for flexion b and
     * bend l, with the signs turned, (cos b, sin b, 0) and (-sin b, cos b, 0) / cos l. */
    double inverse = 1.0 / at_least(cos_lateral, 1e-3);
    double sine = -y[0] * inverse, cosine = y[1] * inverse, tangent = y[2] * inverse;
    double size = sine * sine + cosine * cosine;
    /* Zero in the neutral stance by definition, so a wrong facing shows only as far as a segment left the vertical. */
    const double axis[3][3] = {
        {up[0], up[1], up[2]}, {y[0] - up[0], y[1] - up[1], y[2] - up[2]}, {0.0 - up[0], 1.0 - up[1], 0.0 - up[2]},
    };
    double flexion[3], lateral[3], rotation[3];
    for (int i = 0; i < 3; ++i) {
        double across = cosine * axis[i][1] - sine * axis[i][0];
        flexion[i] = axis[i][2] - tangent * across;
        lateral[i] = cosine * axis[i][0] + sine * axis[i][1];
        rotation[i] = inverse * across;
    }
    double shared = sds->shared;
    sd[0] = deviation(flexion[0], flexion[1], flexion[2], 1.0 + size * square(tangent), &turns, shared);
    sd[1] = deviation(lateral[0], lateral[1], lateral[2], size, &turns, shared);
    sd[2] = deviation(rotation[0], rotation[1], rotation[2], size * square(inverse), &turns, shared);
}

enum { PIECE = 128, ARCTANGENTS = 7 }; /* rows a piece, and angles of a row that are arctangents */

/* `adjacent` takes the second sides: those of the rows for one angle after the other. */
static void incline(
    const double *quats, const Spread *sds, double facing, ptrdiff_t rows, double *forward,
    double *side, double *forward_sd, double *side_sd, double *adjacent
) {
    const Spread spread = *sds;
#pragma GCC ivdep
    for (ptrdiff_t row = 0; row < rows; ++row) {
        double sd[2];
        Triangle a, b;
        inclination(quats + 4 * row, &spread, facing, &a, &b, sd);
        forward[row] = a.opposite;
        adjacent[row] = a.adjacent;
        side[row] = b.opposite;
        adjacent[row + PIECE] = b.adjacent;
        forward_sd[row] = sd[0];
        side_sd[row] = sd[1];
    }
}

/* The spinal angles as triangles, and `xx`, the first element of the relative rotation. NaN where there is no heading. */
static void bend(
    const double *upper, const double *lower, const double *delta, ptrdiff_t rows, double *flexion,
    double *lateral, double *rotation, double *adjacent, double *xx
) {
    double sine[PIECE], cosine[PIECE];
#pragma GCC ivdep
    for (ptrdiff_t row = 0; row < rows; ++row)
        spatial_sincos(0.5 * delta[row], &sine[row], &cosine[row]);
#pragma GCC ivdep
    for (ptrdiff_t row = 0; row < rows; ++row) {
        double r[9];
        relate(upper + 4 * row, lower + 4 * row, sine[row], cosine[row], r);
        flexion[row] = r[1];
        adjacent[row] = r[4];
        lateral[row] = r[7];
        adjacent[row + PIECE] = sqrt(r[1] * r[1] + r[4] * r[4]);
        rotation[row] = r[6];
        adjacent[row + 2 * PIECE] = r[8];
        xx[row] = r[0];
    }
}

/* How sure those triangles are. */
static void doubt(
    const double *lower, const double *delta, const double *delta_sd, const Spread *sds, ptrdiff_t rows,
    const double *flexion, const double *lateral, const double *adjacent, const double *xx, double *flexion_sd,
    double *lateral_sd, double *rotation_sd
) {
    const Spread spread = *sds;
#pragma GCC ivdep
    for (ptrdiff_t row = 0; row < rows; ++row) {
        double vertical[9], sd[3], nothing = delta[row] - delta[row]; /* NaN where there is no heading */
        const double y[3] = {flexion[row], adjacent[row], lateral[row]};
        spatial_matrix(lower + 4 * row, vertical);
        deviations(y, xx[row], adjacent[row + 2 * PIECE], adjacent[row + PIECE], vertical + 6, delta_sd[row], &spread, sd);
        flexion_sd[row] = sd[0] + nothing;
        lateral_sd[row] = sd[1] + nothing;
        rotation_sd[row] = sd[2] + nothing;
    }
}

/* From triangles to degrees, in place. */
static void solve(double *angle, double *adjacent, ptrdiff_t rows) {
#pragma GCC ivdep
    for (ptrdiff_t row = 0; row < rows; ++row)
        adjacent[row] = spatial_fold(angle[row], adjacent[row], &angle[row]);
#pragma GCC ivdep
    for (ptrdiff_t row = 0; row < rows; ++row)
        angle[row] = SPATIAL_DEG * (adjacent[row] + spatial_arctangent(angle[row]));
}

/* The rows of a piece that begins at `first`. */
static void run_piece(const Postures *p, const Spread *sds, ptrdiff_t first, ptrdiff_t rows) {
    static const int solved[ARCTANGENTS] = {
        FLEXION, LATERAL, ROTATION, UPPER_FORWARD, UPPER_SIDE, LOWER_FORWARD, LOWER_SIDE,
    };
    double adjacent[ARCTANGENTS * PIECE], xx[PIECE];
    double *a[COLUMNS];
    for (int column = 0; column < COLUMNS; ++column)
        a[column] = p->angles + column * p->rows + first;
    const double *upper = p->upper + 4 * first, *lower = p->lower + 4 * first;
    bend(upper, lower, p->delta + first, rows, a[FLEXION], a[LATERAL], a[ROTATION], adjacent, xx);
    doubt(lower, p->delta + first, p->delta_sd + first, sds, rows, a[FLEXION], a[LATERAL], adjacent, xx,
          a[FLEXION_SD], a[LATERAL_SD], a[ROTATION_SD]);
    incline(upper, sds, sds->upper_facing, rows, a[UPPER_FORWARD], a[UPPER_SIDE], a[UPPER_FORWARD_SD],
            a[UPPER_SIDE_SD], adjacent + 3 * PIECE);
    incline(lower, sds, sds->lower_facing, rows, a[LOWER_FORWARD], a[LOWER_SIDE], a[LOWER_FORWARD_SD],
            a[LOWER_SIDE_SD], adjacent + 5 * PIECE);
    for (int k = 0; k < ARCTANGENTS; ++k)
        solve(a[solved[k]], adjacent + k * PIECE, rows);
#pragma GCC ivdep
    for (ptrdiff_t row = 0; row < rows; ++row)
        a[TRUNK][row] = trunk(a[UPPER_FORWARD][row], a[LOWER_FORWARD][row]);
}

static void run(const Postures *p, const Spread *sds) {
    for (ptrdiff_t first = 0; first < p->rows; first += PIECE)
        run_piece(p, sds, first, p->rows - first < PIECE ? p->rows - first : PIECE);
}
