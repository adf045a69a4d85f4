/* Relative heading of two sensors on one spine, without a magnetometer: one Kalman filter over what only a pair knows.
 *
 * Each sensor's own filter keeps its inclination; about the vertical it only integrates. ``delta`` turns the upper sensor's
 * earth frame into the lower's. It drifts with the vertical parts of what is left of both gyroscope biases:
 *
 *     d(delta)/dt = up_lower . (b_lower - s_lower) - up_upper . (b_upper - s_upper)          b bias, s what was subtracted
 *
 * Measurements, none of which assumes that the wearer is straight on average:
 *   stance       in the neutral stance the axial rotation is zero by definition
 *   hold         while a pose is kept, the mean rate beyond the known change of inclination is bias; what both sensors turn
 *                together may be the wearer's, what they turn against each other is bias sooner
 *   co-rotation  in bends both segments turn about the same horizontal axis: the angle between their levelled rates is
 *                delta, up to this person's coupling angle (one for forward, one for side bends: states of the filter)
 *   limit        the spine does not twist further than it can
 *   magnetic     the difference of both sensors' magnetic headings, where they have magnetometers and the field is trusted
 * Each is weighed robustly by its innovation; rows are only summed up here, the filter moves in steps of half a second.
 */
#ifndef IMUPOSTURE_PAIR_FILTER_H
#define IMUPOSTURE_PAIR_FILTER_H

#include <string.h>
#include "spatial.h"

/* The states: heading, bias of the upper and of the lower gyroscope, coupling in forward and in side bends, and what the
 * magnetic headings are off by (iron near the sensors; the field of the place). */
enum { DELTA, BIAS_UPPER, BIAS_LOWER = 4, COUPLING_FORWARD = 7, COUPLING_SIDE, MAGNETIC, STATES };
enum { UPPER, LOWER };
#define LIMIT_STEPS 40.0 /* steps that count as one look at the limit: 20 s */
enum { HEADING_UNKNOWN, HEADING_RESET, HEADING_HELD, HEADING_LEARNT, HEADING_DRIFTING };

typedef struct {
    double period;             /* s between rows */
    double step_rows;          /* rows a step */
    double initial_sd;         /* rad: first guess that the wearer does not twist */
    double bias_sd;            /* rad/s */
    double bias_walk;          /* rad/s per root second */
    double delta_walk;         /* rad per root second: scale errors, inclination errors */
    double stance_sd;          /* rad a step: sway in the neutral stance */
    double hold_tilt;          /* rad: a hold ends when a sensor leaves its inclination by this much */
    double hold_turn;          /* rad: or has turned by this much beyond its bias */
    double hold_twist;         /* rad: or the two against each other */
    double hold_tilt_sd;       /* rad over a hold: drift of the inclination error */
    double hold_common_sd;     /* rad over a hold: turn of the whole body */
    double hold_relative_sd;   /* rad over a hold: turn of one segment on the other */
    double hold_sway_sd;       /* rad: sway of each sensor about the pose, half a second apart */
    double hold_shortest;      /* s */
    double hold_longest;       /* s */
    double bend_rate;          /* rad/s: levelled rate of both that counts as a bend */
    double bend_coherence;     /* 0..1 */
    double bend_sd;            /* rad an episode: off-plane share of single bends */
    double bend_longest;       /* s an episode */
    double coupling_sd;        /* rad: this person's own coupling angles */
    double coupling_walk;      /* rad per root second */
    double limit;              /* rad of axial rotation */
    double limit_sd;           /* rad */
    double magnetic_sd;        /* rad a step */
    double magnetic_offset_sd; /* rad: iron near the sensors */
    double magnetic_walk;      /* rad per root second: the field changes from place to place */
    double gap_rate;           /* rad/s: what the wearer may twist while rows are missing */
    double gap_most;           /* rad */
    double slew;               /* s: corrections reach the rows with this time constant, without jumps */
    double facing_sd;          /* rad: what the two mountings' facings may differ, which looks like coupling */
} pair_settings;

/* A pose that is being kept: how long, the vertical of each sensor at its beginning and now, the angle each turned by
 * its gyroscope, its turn about the vertical beyond the bias, and the sums of a straight line through the angles. */
typedef struct {
    double steps, seconds, began[2][3], now[2][3], angle[2][3], turned[2], sum[2][3], moment[2][3];
} pair_hold;

typedef struct {
    double x[STATES], p[STATES][STATES];
    double started, rows, missing, twist; /* twist: last known axial heading difference, rad */
    double correction;                    /* rad still to be handed to the rows */
    double since_stance, since_hold, since_bend; /* s */
    /* sums over a step: vertical, rate and twist; levelled rates of both as complex numbers */
    double up[2][3], gyr[2][3], twist_cos, twist_sin, stance_rows;
    double cross_re, cross_im, power[2], forward, side, magnetic_cos, magnetic_sin;
    pair_hold hold, earlier, earliest; /* the hold that is open, as it is now and was one and two steps ago */
    double settling;                   /* steps until the next hold may begin */
    /* the bend that is open */
    double bend_s, bend_re, bend_im, bend_power[2], bend_forward, bend_side;
} pair_filter;

static inline double pf_square(double x) { return x * x; }

static void pf_start(pair_filter *f, const pair_settings *c) {
    memset(f, 0, sizeof *f);
    f->since_stance = f->since_hold = f->since_bend = 1e9;
    f->p[DELTA][DELTA] = pf_square(c->initial_sd);
    for (int i = BIAS_UPPER; i < COUPLING_FORWARD; i++) f->p[i][i] = pf_square(c->bias_sd);
    double shared = pf_square(c->facing_sd), own = pf_square(c->coupling_sd);
    f->p[COUPLING_FORWARD][COUPLING_FORWARD] = f->p[COUPLING_SIDE][COUPLING_SIDE] = shared + own;
    f->p[COUPLING_FORWARD][COUPLING_SIDE] = f->p[COUPLING_SIDE][COUPLING_FORWARD] = shared;
    f->p[MAGNETIC][MAGNETIC] = pf_square(c->magnetic_offset_sd);
}

/* One scalar measurement: innovation with direction h; beyond two of its own sds its weight falls (Huber 1964). */
static void pf_update(pair_filter *f, const double h[STATES], double innovation, double variance, int robust) {
    double ph[STATES], spread = 0.0, gain;
    for (int i = 0; i < STATES; i++) {
        ph[i] = 0.0;
        for (int k = 0; k < STATES; k++) ph[i] += f->p[i][k] * h[k];
    }
    for (int i = 0; i < STATES; i++) spread += h[i] * ph[i];
    double excess = innovation * innovation / (4.0 * (spread + variance));
    if (robust && excess > 1.0) variance = (spread + variance) * excess - spread;
    for (int i = 0; i < STATES; i++) {
        gain = ph[i] / (spread + variance);
        f->x[i] += gain * innovation;
        if (i == DELTA) f->correction -= gain * innovation;
        for (int k = 0; k < STATES; k++) f->p[i][k] -= gain * ph[k];
    }
    for (int i = 0; i < STATES; i++)
        for (int k = 0; k < i; k++) f->p[i][k] = f->p[k][i] = 0.5 * (f->p[i][k] + f->p[k][i]);
}

/* Horizontal direction of a segment's right axis as a unit complex number: forward bends leave it alone.
 * Where it stands upright (lying on the side), the forward axis stands in for it. */
static void pf_facing(const double r[9], double *re, double *im) {
    double x = r[2], y = r[5], norm = x * x + y * y;
    if (norm < 0.1) { x = -r[3]; y = r[0]; norm = x * x + y * y; }
    norm = sqrt(norm > 1e-12 ? norm : 1.0);
    *re = x / norm;
    *im = y / norm;
}

/* How drift and random walks move the state over a step of dt seconds. */
static void pf_predict(pair_filter *f, const pair_settings *c, double dt, const double up[2][3]) {
    double drift[STATES] = {0};
    for (int i = 0; i < 3; i++) {
        drift[BIAS_UPPER + i] = -dt * up[UPPER][i];
        drift[BIAS_LOWER + i] = dt * up[LOWER][i];
    }
    double row[STATES], variance = f->p[DELTA][DELTA];
    for (int k = 0; k < STATES; k++) {
        row[k] = 0.0;
        for (int i = 0; i < STATES; i++) row[k] += drift[i] * f->p[i][k];
    }
    for (int k = 0; k < STATES; k++) variance += drift[k] * (row[k] + (k == DELTA ? 0.0 : f->p[DELTA][k])) ;
    variance += row[DELTA];
    for (int k = 1; k < STATES; k++) f->p[DELTA][k] = f->p[k][DELTA] = f->p[DELTA][k] + row[k];
    f->p[DELTA][DELTA] = variance + pf_square(c->delta_walk) * dt;
    for (int i = BIAS_UPPER; i < COUPLING_FORWARD; i++) f->p[i][i] += pf_square(c->bias_walk) * dt;
    for (int i = COUPLING_FORWARD; i < MAGNETIC; i++) f->p[i][i] += pf_square(c->coupling_walk) * dt;
    f->p[MAGNETIC][MAGNETIC] += pf_square(c->magnetic_walk) * dt;
}

/* Neutral stance: the twist of this step is zero, but for sway. */
static void pf_stance(pair_filter *f, const pair_settings *c, double twist) {
    double h[STATES] = {0};
    h[DELTA] = 1.0;
    pf_update(f, h, -twist, pf_square(c->stance_sd), 0);
    f->since_stance = 0.0;
}

/* The spine twists no further than its range. Standing at the limit for long says no more than once, so that a step
 * counts little. */
static void pf_limit(pair_filter *f, const pair_settings *c, double twist) {
    double beyond = twist > c->limit ? c->limit - twist : twist < -c->limit ? -c->limit - twist : 0.0;
    double h[STATES] = {0};
    h[DELTA] = 1.0;
    if (beyond != 0.0) pf_update(f, h, beyond, LIMIT_STEPS * pf_square(c->limit_sd), 0);
}

/* Magnetic headings, averaged over the step: what they say beyond the present estimate and their own offset. */
static void pf_magnetic(pair_filter *f, const pair_settings *c) {
    double h[STATES] = {0};
    h[DELTA] = h[MAGNETIC] = 1.0;
    if (pf_square(f->magnetic_cos) + pf_square(f->magnetic_sin) < 0.25 * pf_square(f->rows)) return;
    double apart = spatial_wrap(spatial_atan2(f->magnetic_sin, f->magnetic_cos) - f->x[MAGNETIC]);
    pf_update(f, h, apart, pf_square(c->magnetic_sd), 1);
}

static void pf_open_hold(pair_filter *f, const double up[2][3]) {
    memset(&f->hold, 0, sizeof f->hold);
    memcpy(f->hold.began, up, sizeof f->hold.began);
    memcpy(f->hold.now, up, sizeof f->hold.now);
    f->earlier = f->earliest = f->hold;
}

/* What a hold says about the two biases. */
static void pf_learn_bias(pair_filter *f, const pair_settings *c, const pair_hold *hold) {
    double t = hold->seconds, n = hold->steps, bias[2][3];
    if (t < c->hold_shortest) return;
    for (int s = 0; s < 2; s++) /* slope of the least-squares line: sway at the ends of the hold hardly counts */
        for (int i = 0; i < 3; i++)
            bias[s][i] = 12.0 * (hold->moment[s][i] - 0.5 * (n + 1.0) * hold->sum[s][i]) / ((n * n - 1.0) * t);
    double sway = pf_square(c->hold_sway_sd) * 12.0 / n, square = t * t;
    for (int s = 0; s < 2; s++) { /* two horizontal axes of each sensor: bias seen through the inclination */
        const double *up = hold->now[s];
        for (int i = 0; i < 3; i++) {
            double h[STATES] = {0}, innovation = 0.0, length = 0.0;
            for (int k = 0; k < 3; k++) { /* rows of the projector on the horizontal plane; rank two, so weighed 3/2 */
                double e = (i == k ? 1.0 : 0.0) - up[i] * up[k];
                h[1 + 3 * s + k] = e;
                innovation += e * (bias[s][k] - f->x[1 + 3 * s + k]);
                length += e * e;
            }
            if (length > 1e-6) pf_update(f, h, innovation, 1.5 * (pf_square(c->hold_tilt_sd) + sway) / square, 1);
        }
    }
    /* Vertical: the two against each other first, then both together. */
    for (int sum = 0; sum < 2; sum++) {
        double h[STATES] = {0}, innovation = 0.0;
        for (int k = 0; k < 3; k++) {
            h[BIAS_UPPER + k] = sum ? 0.5 * hold->now[UPPER][k] : hold->now[UPPER][k];
            h[BIAS_LOWER + k] = sum ? 0.5 * hold->now[LOWER][k] : -hold->now[LOWER][k];
            innovation += h[BIAS_UPPER + k] * (bias[UPPER][k] - f->x[BIAS_UPPER + k]);
            innovation += h[BIAS_LOWER + k] * (bias[LOWER][k] - f->x[BIAS_LOWER + k]);
        }
        double drift = sum ? c->hold_common_sd : c->hold_relative_sd;
        pf_update(f, h, innovation, (drift * drift + (sum ? 0.5 : 2.0) * sway) / square, 1);
    }
    f->since_hold = 0.0;
}

/* Say whether the pose is still kept, and move the hold on by a step if it is. */
static int pf_kept(const pair_filter *f, const pair_settings *c, double dt, const double up[2][3],
                   const double gyr[2][3], pair_hold *hold) {
    double h[STATES] = {0}, sd[2], between = 0.0;
    int kept = 1;
    hold->seconds += dt;
    hold->steps += 1.0;
    for (int s = 0; s < 2; s++) {
        double away[3];
        sd[s] = 0.0;
        for (int i = 0; i < 3; i++) {
            away[i] = up[s][i] - hold->began[s][i];
            h[1 + 3 * s + i] = s == UPPER ? up[s][i] : -up[s][i];
            hold->now[s][i] = up[s][i];
            hold->angle[s][i] += dt * gyr[s][i];
            hold->turned[s] += dt * up[s][i] * (gyr[s][i] - f->x[1 + 3 * s + i]);
        }
        double turn[3];
        spatial_cross(away, hold->began[s], turn); /* the inclination's own change is no bias */
        for (int i = 0; i < 3; i++) {
            hold->sum[s][i] += hold->angle[s][i] - turn[i];
            hold->moment[s][i] += hold->steps * (hold->angle[s][i] - turn[i]);
        }
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 3; k++) sd[s] += up[s][i] * f->p[1 + 3 * s + i][1 + 3 * s + k] * up[s][k];
        double bound = c->hold_turn + 2.0 * hold->seconds * sqrt(sd[s] > 0.0 ? sd[s] : 0.0);
        kept &= spatial_dot(away, away) < pf_square(c->hold_tilt) && fabs(hold->turned[s]) < bound;
    }
    for (int i = 0; i < STATES; i++)
        for (int k = 0; k < STATES; k++) between += h[i] * f->p[i][k] * h[k];
    double bound = c->hold_twist + 2.0 * hold->seconds * sqrt(between > 0.0 ? between : 0.0);
    return kept && fabs(hold->turned[UPPER] - hold->turned[LOWER]) < bound;
}

/* Keep the open hold going, or close it and open the next. A hold that a movement ended is taken as it was a second
 * before, because movements begin slowly, and the next one begins once the movement has died away. */
static void pf_hold(pair_filter *f, const pair_settings *c, double dt, const double up[2][3], const double gyr[2][3]) {
    if (f->settling > 0.0) {
        f->settling -= 1.0;
        pf_open_hold(f, up);
        return;
    }
    pair_hold next = f->hold;
    int kept = pf_kept(f, c, dt, up, gyr, &next);
    if (!kept) {
        pf_learn_bias(f, c, &f->earliest);
        f->settling = 1.0;
        pf_open_hold(f, up);
        return;
    }
    f->earliest = f->earlier;
    f->earlier = f->hold;
    f->hold = next;
    if (next.seconds >= c->hold_longest) {
        pf_learn_bias(f, c, &f->earliest);
        pf_open_hold(f, up);
    }
}

/* What a bend says about the heading: the angle between the levelled rates of both, modulo half a turn. */
static void pf_close_bend(pair_filter *f, const pair_settings *c) {
    double strength = sqrt(f->bend_re * f->bend_re + f->bend_im * f->bend_im);
    double coherence = strength / (sqrt(f->bend_power[UPPER] * f->bend_power[LOWER]) + 1e-12);
    if (f->bend_s > 0.0 && coherence > c->bend_coherence) {
        double angle = spatial_atan2(f->bend_im, f->bend_re), h[STATES] = {0};
        double noise = c->bend_sd * (f->bend_s < 1.0 ? 1.5 : 1.0);
        h[DELTA] = 1.0;
        if (f->bend_forward > 3.0 * f->bend_side) h[COUPLING_FORWARD] = 1.0;
        else if (f->bend_side > 3.0 * f->bend_forward) h[COUPLING_SIDE] = 1.0;
        else noise *= 1.5;
        angle -= h[COUPLING_FORWARD] * f->x[COUPLING_FORWARD] + h[COUPLING_SIDE] * f->x[COUPLING_SIDE];
        if (angle > 0.5 * SPATIAL_PI) angle -= SPATIAL_PI;
        if (angle < -0.5 * SPATIAL_PI) angle += SPATIAL_PI;
        if (f->p[DELTA][DELTA] < pf_square(0.5)) {
            pf_update(f, h, angle, pf_square(noise), 1);
            f->since_bend = 0.0;
        }
    }
    f->bend_s = f->bend_re = f->bend_im = f->bend_power[UPPER] = f->bend_power[LOWER] = f->bend_forward = f->bend_side = 0.0;
}

static void pf_bend(pair_filter *f, const pair_settings *c, double dt) {
    double joint = sqrt(f->power[UPPER] * f->power[LOWER]), rows = c->step_rows;
    double strength = sqrt(f->cross_re * f->cross_re + f->cross_im * f->cross_im);
    int bending = joint > rows * pf_square(c->bend_rate) && strength > c->bend_coherence * joint;
    if (bending) {
        f->bend_s += dt;
        f->bend_re += f->cross_re;
        f->bend_im += f->cross_im;
        for (int s = 0; s < 2; s++) f->bend_power[s] += f->power[s];
        f->bend_forward += f->forward;
        f->bend_side += f->side;
    }
    if (f->bend_s > 0.0 && (!bending || f->bend_s >= c->bend_longest)) pf_close_bend(f, c);
}

static void pf_clear_step(pair_filter *f) {
    f->rows = f->twist_cos = f->twist_sin = f->stance_rows = f->cross_re = f->cross_im = f->forward = f->side = 0.0;
    f->magnetic_cos = f->magnetic_sin = 0.0;
    memset(f->up, 0, sizeof f->up);
    memset(f->gyr, 0, sizeof f->gyr);
    memset(f->power, 0, sizeof f->power);
}

/* Half a second is complete: predict, then let everything speak that was seen in it. */
static void pf_step(pair_filter *f, const pair_settings *c) {
    double dt = f->rows * c->period, up[2][3], gyr[2][3];
    for (int s = 0; s < 2; s++) {
        double norm = 1.0 / sqrt(spatial_dot(f->up[s], f->up[s]));
        for (int i = 0; i < 3; i++) {
            up[s][i] = f->up[s][i] * norm;
            gyr[s][i] = f->gyr[s][i] / f->rows;
        }
    }
    pf_predict(f, c, dt, (const double (*)[3])up);
    f->since_stance += dt;
    f->since_hold += dt;
    f->since_bend += dt;
    double twist = spatial_atan2(f->twist_sin, f->twist_cos);
    if (f->stance_rows > 0.5 * f->rows) pf_stance(f, c, twist);
    pf_magnetic(f, c);
    pf_limit(f, c, twist);
    pf_hold(f, c, dt, (const double (*)[3])up, (const double (*)[3])gyr);
    pf_bend(f, c, dt);
    pf_clear_step(f);
}

/* Begin, or begin again after a gap: the wearer is as twisted as before, within what the time allowed. */
static void pf_anchor(pair_filter *f, const pair_settings *c, double twist_now, const double up[2][3]) {
    double unsure = f->missing * c->period * c->gap_rate;
    unsure = unsure < c->gap_most ? unsure : c->gap_most;
    double known = f->started != 0.0 ? f->p[DELTA][DELTA] + pf_square(unsure) : pf_square(c->initial_sd);
    for (int k = 0; k < STATES; k++) f->p[DELTA][k] = f->p[k][DELTA] = 0.0;
    f->p[DELTA][DELTA] = known;
    f->x[DELTA] = spatial_wrap(f->x[DELTA] + (f->started != 0.0 ? f->twist : 0.0) - twist_now);
    for (int i = BIAS_UPPER; i < COUPLING_FORWARD; i++) f->p[i][i] += pf_square(c->bias_walk) * f->missing * c->period;
    f->started = 1.0;
    f->missing = f->correction = 0.0;
    f->bend_s = f->bend_re = f->bend_im = f->bend_power[UPPER] = f->bend_power[LOWER] = f->bend_forward = f->bend_side = 0.0;
    pf_clear_step(f);
    pf_open_hold(f, up);
}

/* One row of both sensors. quat (4) segment -> earth, gyr and smooth (3) rad/s segment frame, bias (3) that was subtracted;
 * magnetic: delta by the magnetometers, rad, or NaN; stance: it belongs to a neutral stance. */
static void pf_row(pair_filter *f, const pair_settings *c, const double *const quat[2], const double *const gyr[2],
                   const double *const smooth[2], const double *const bias[2], double magnetic, int stance) {
    double r[9], up[2][3], facing[2][2], level[2][2], drift[2];
    for (int s = 0; s < 2; s++) {
        spatial_matrix(quat[s], r);
        memcpy(up[s], r + 6, sizeof up[s]);
        pf_facing(r, &facing[s][0], &facing[s][1]);
        double w[3] = {smooth[s][0] - bias[s][0], smooth[s][1] - bias[s][1], smooth[s][2] - bias[s][2]};
        level[s][0] = spatial_dot(r, w);
        level[s][1] = spatial_dot(r + 3, w);
        double left[3] = {f->x[1 + 3 * s] - bias[s][0], f->x[2 + 3 * s] - bias[s][1], f->x[3 + 3 * s] - bias[s][2]};
        drift[s] = spatial_dot(up[s], left);
    }
    /* twist = heading of the upper segment, in the lower one's earth frame, minus that of the lower segment */
    double sine, cosine, turned[2];
    double apart_re = facing[UPPER][0] * facing[LOWER][0] + facing[UPPER][1] * facing[LOWER][1];
    double apart_im = facing[UPPER][1] * facing[LOWER][0] - facing[UPPER][0] * facing[LOWER][1];
    if (f->started == 0.0 || f->missing > 0.0) {
        spatial_sincos(f->x[DELTA], &sine, &cosine);
        double now = spatial_atan2(apart_im * cosine + apart_re * sine, apart_re * cosine - apart_im * sine);
        pf_anchor(f, c, now, (const double (*)[3])up);
    } else {
        f->x[DELTA] += c->period * (drift[LOWER] - drift[UPPER]);
        f->correction -= f->correction * (c->period / c->slew);
    }
    spatial_sincos(f->x[DELTA], &sine, &cosine);
    double twist_re = apart_re * cosine - apart_im * sine, twist_im = apart_im * cosine + apart_re * sine;
    f->twist_cos += twist_re;
    f->twist_sin += twist_im;
    f->twist = spatial_atan2(twist_im, twist_re);
    turned[0] = cosine * level[UPPER][0] - sine * level[UPPER][1];
    turned[1] = sine * level[UPPER][0] + cosine * level[UPPER][1];
    f->cross_re += turned[0] * level[LOWER][0] + turned[1] * level[LOWER][1];
    f->cross_im += turned[0] * level[LOWER][1] - turned[1] * level[LOWER][0];
    f->power[UPPER] += turned[0] * turned[0] + turned[1] * turned[1];
    f->power[LOWER] += level[LOWER][0] * level[LOWER][0] + level[LOWER][1] * level[LOWER][1];
    f->forward += pf_square(level[LOWER][0] * facing[LOWER][0] + level[LOWER][1] * facing[LOWER][1]);
    f->side += pf_square(level[LOWER][1] * facing[LOWER][0] - level[LOWER][0] * facing[LOWER][1]);
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 3; i++) {
            f->up[s][i] += up[s][i];
            f->gyr[s][i] += gyr[s][i];
        }
    if (magnetic == magnetic) {
        double apart_sin, apart_cos;
        spatial_sincos(magnetic - f->x[DELTA], &apart_sin, &apart_cos);
        f->magnetic_cos += apart_cos;
        f->magnetic_sin += apart_sin;
    }
    f->stance_rows += stance ? 1.0 : 0.0;
    f->rows += 1.0;
    if (f->rows >= c->step_rows) pf_step(f, c);
}

/* What of the filter's knowledge is freshest. */
static inline int pf_state(const pair_filter *f) {
    if (f->started == 0.0) return HEADING_UNKNOWN;
    if (f->since_stance < 30.0) return HEADING_RESET;
    if (f->since_hold < 60.0) return HEADING_HELD;
    if (f->since_bend < 60.0) return HEADING_LEARNT;
    return HEADING_DRIFTING;
}

#endif
