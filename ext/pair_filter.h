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
 *   hinge        where one segment stands and the other turns on it, the axis of a plane is fixed in the one that stands
 *   limit        the spine does not twist further than it can
 *   magnetic     the difference of both sensors' magnetic headings, where they have magnetometers and the field is trusted
 * Each is weighed robustly by its innovation; rows are only summed up here, the filter moves in steps of half a second.
 */
#ifndef IMUPOSTURE_PAIR_FILTER_H
#define IMUPOSTURE_PAIR_FILTER_H

#include "pair_hinge.h"
#include "pair_sources.h"

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
    f->p[DELTA][DELTA] = variance;
    for (int i = 0; i < STATES; i++) {
        double walk = i == DELTA             ? c->delta_walk
                      : i < COUPLING_FORWARD ? c->bias_walk
                      : i < COUPLING_GAIT    ? c->coupling_walk
                      : i == COUPLING_GAIT   ? c->gait_walk
                      : i == MAGNETIC        ? c->magnetic_walk
                      : i < STANCE           ? c->hinge_walk
                                             : 0.0;
        double noise = pf_square(walk) * dt + (i < STANCE ? 0.0 : TRIFLE);
        f->p[i][i] += noise;
        f->step.noise[i] += noise;
    }
    memcpy(f->step.drift, drift, sizeof drift);
}

/* A neutral stance begins. The mean of all is zero by definition, so that what the earlier ones differ from it together
 * is what those to come will differ the other way: of n left, the next by -sum / n, within sqrt(1 - 1/n) of neutral_sd. */
static void pf_begin_stance(pair_filter *f, const pair_settings *c) {
    double left = c->stances - f->stood > 1.0 ? c->stances - f->stood : 1.0;
    double noise = pf_square(c->neutral_sd) * (1.0 - 1.0 / left) + TRIFLE;
    pf_carry_stances(f->x, left);
    for (int i = 0; i < STATES; i++) pf_carry_stances(f->p[i], left);
    for (int k = 0; k < STATES; k++) {
        double column[STATES];
        for (int i = 0; i < STATES; i++) column[i] = f->p[i][k];
        pf_carry_stances(column, left);
        for (int i = 0; i < STATES; i++) f->p[i][k] = column[i];
    }
    f->p[STANCE][STANCE] += noise;
    f->step.noise[STANCE] += noise;
    f->step.stance = left;
    f->stood += 1.0;
}

/* Neutral stance: the twist of this step is that of the stance, but for sway. */
static void pf_stance(pair_filter *f, const pair_settings *c, double twist) {
    double h[STATES] = {0};
    h[DELTA] = 1.0;
    h[STANCE] = -1.0;
    pf_update(f, h, f->x[STANCE] - twist, pf_square(c->stance_sd), 0);
    f->since_stance = 0.0;
    f->zeroed = 1.0;
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

static void pf_clear_step(pair_filter *f) {
    f->rows = f->twist_cos = f->twist_sin = f->stance_rows = f->cross_re = f->cross_im = f->forward = f->side = 0.0;
    f->magnetic_cos = f->magnetic_sin = f->push_re = f->push_im = 0.0;
    memset(f->pushed, 0, sizeof f->pushed);
    memset(f->heaved, 0, sizeof f->heaved);
    memset(f->up, 0, sizeof f->up);
    memset(f->gyr, 0, sizeof f->gyr);
    memset(f->power, 0, sizeof f->power);
    memset(f->rested, 0, sizeof f->rested);
    memset(f->spin, 0, sizeof f->spin);
    memset(f->line_re, 0, sizeof f->line_re);
    memset(f->line_im, 0, sizeof f->line_im);
    memset(f->line_power, 0, sizeof f->line_power);
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
    f->quiet = f->spin[UPPER] + f->spin[LOWER] < f->rows * pf_square(c->bend_rate) ? f->quiet + 1.0 : 0.0;
    /* who moves is in no stance, nor where a movement turns back */
    int standing = f->stance_rows > 0.5 * f->rows && f->quiet > 1.0;
    if (standing && f->since_stance > STANCES_APART_S) pf_begin_stance(f, c);
    memcpy(f->step.predicted, f->x, sizeof f->x);
    f->since_stance += dt;
    f->since_hold += dt;
    f->since_bend += dt;
    double twist = spatial_atan2(f->twist_sin, f->twist_cos);
    int hinge = pf_hinge(f, c, dt); /* first, because it may forget */
    if (c->stance_bias == 0.0) pf_learnt(f, c, (const double (*)[3])up);
    if (standing) pf_stance(f, c, twist);
    pf_magnetic(f, c);
    if (f->zeroed != 0.0) pf_limit(f, c, twist); /* counts from a stance */
    pf_hold(f, c, dt, (const double (*)[3])up, (const double (*)[3])gyr);
    pf_bend(f, c, dt, hinge || pf_strides(f));
    pf_gait(f, c, dt);
    memcpy(f->step.x, f->x, sizeof f->x);
    memcpy(f->step.p, f->p, sizeof f->p);
    pf_clear_step(f);
}

/* Begin, or begin again after a gap: the wearer is as twisted as before, within what the time allowed. */
static void pf_anchor(pair_filter *f, const pair_settings *c, double twist_now, const double up[2][3]) {
    double unsure = f->missing * c->period * c->gap_rate;
    unsure = unsure < c->gap_most ? unsure : c->gap_most;
    double known = f->started != 0.0 ? f->p[DELTA][DELTA] + pf_square(unsure) : pf_square(c->initial_sd);
    for (int k = 0; k < STATES; k++) f->p[DELTA][k] = f->p[k][DELTA] = 0.0;
    f->p[DELTA][DELTA] = known;
    double twist_then = f->started != 0.0 ? spatial_atan2(f->twist_im, f->twist_re) : 0.0;
    f->x[DELTA] = spatial_wrap(f->x[DELTA] + twist_then - twist_now);
    f->step.noise[DELTA] = known;
    f->step.anew = 1.0;
    for (int i = BIAS_UPPER; i < COUPLING_FORWARD; i++) { /* a step may have begun anew more than once */
        double noise = pf_square(c->bias_walk) * f->missing * c->period;
        f->step.noise[i] += noise;
        f->p[i][i] += noise;
    }
    f->started = 1.0;
    f->hinge_s = f->hinge_re = f->hinge_im = f->hinge_power = 0.0;
    f->missing = f->correction = 0.0;
    f->gait_s = f->gait_re = f->gait_im = f->gait_power[UPPER] = f->gait_power[LOWER] = 0.0;
    memset(f->slow, 0, sizeof f->slow);
    f->bend_s = f->bend_re = f->bend_im = f->bend_power[UPPER] = f->bend_power[LOWER] = f->bend_forward = f->bend_side = 0.0;
    pf_clear_step(f);
    pf_open_hold(f, up);
}

/* Take the twist of the spine out of the upper segment's rate: a twist about its long axis leans with the trunk, and its
 * horizontal part would look like another heading. What both turn differently about the vertical shows it. */
static void pf_untwist(const double up[2][3], double w[2][3]) {
    double upright = up[UPPER][1];
    if (upright < 0.25) return;
    w[UPPER][1] -= (spatial_dot(up[UPPER], w[UPPER]) - spatial_dot(up[LOWER], w[LOWER])) / upright;
}

/* In gait the ground pushes both segments: sum up how the levelled accelerations of the two belong together. */
static void pf_accelerations(pair_filter *f, const pair_settings *c, const double *const acc[2], const double r[2][9],
                             double cosine, double sine) {
    double a[2][3], share = c->period / (GAIT_SLOW_S + c->period);
    for (int s = 0; s < 2; s++) {
        for (int i = 0; i < 3; i++) {
            a[s][i] = spatial_dot(r[s] + 3 * i, acc[s]) - (i == 2 ? STANDARD_GRAVITY : 0.0);
            f->slow[s][i] += share * (a[s][i] - f->slow[s][i]);
            a[s][i] -= f->slow[s][i];
        }
        f->heaved[s] += a[s][2] * a[s][2];
        f->pushed[s] += a[s][0] * a[s][0] + a[s][1] * a[s][1];
    }
    double x = cosine * a[UPPER][0] - sine * a[UPPER][1], y = sine * a[UPPER][0] + cosine * a[UPPER][1];
    f->push_re += x * a[LOWER][0] + y * a[LOWER][1];
    f->push_im += x * a[LOWER][1] - y * a[LOWER][0];
}

/* One row of both sensors. quat (4) segment -> earth, gyr and smooth (3) rad/s segment frame, bias (3) that was subtracted;
 * acc (3) m/s2 segment frame;
 * magnetic: delta by the magnetometers, rad, or NaN; stance: it belongs to a neutral stance. */
static void pf_row(pair_filter *f, const pair_settings *c, const double *const quat[2], const double *const gyr[2],
                   const double *const smooth[2], const double *const acc[2], const double *const bias[2],
                   const unsigned char rest[2], double magnetic, int stance) {
    double r[2][9], w[2][3], up[2][3], facing[2][2], level[2][2], drift[2];
    for (int s = 0; s < 2; s++) {
        spatial_matrix(quat[s], r[s]);
        memcpy(up[s], r[s] + 6, sizeof up[s]);
        pf_facing(r[s], &facing[s][0], &facing[s][1]);
        for (int i = 0; i < 3; i++) w[s][i] = smooth[s][i] - bias[s][i];
        double left[3] = {f->x[1 + 3 * s] - bias[s][0], f->x[2 + 3 * s] - bias[s][1], f->x[3 + 3 * s] - bias[s][2]};
        drift[s] = spatial_dot(up[s], left);
    }
    double before[2][3];
    memcpy(before, w, sizeof before);
    pf_untwist(up, w);
    for (int s = 0; s < 2; s++) {
        level[s][0] = spatial_dot(r[s], w[s]);
        level[s][1] = spatial_dot(r[s] + 3, w[s]);
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
        f->correction -= f->correction * (c->period < c->slew ? c->period / c->slew : 1.0);
    }
    spatial_sincos(f->x[DELTA], &sine, &cosine);
    double twist_re = apart_re * cosine - apart_im * sine, twist_im = apart_im * cosine + apart_re * sine;
    f->twist_cos += twist_re;
    f->twist_sin += twist_im;
    f->twist_re = twist_re;
    f->twist_im = twist_im;
    turned[0] = cosine * level[UPPER][0] - sine * level[UPPER][1];
    turned[1] = sine * level[UPPER][0] + cosine * level[UPPER][1];
    f->cross_re += turned[0] * level[LOWER][0] + turned[1] * level[LOWER][1];
    f->cross_im += turned[0] * level[LOWER][1] - turned[1] * level[LOWER][0];
    f->power[UPPER] += turned[0] * turned[0] + turned[1] * turned[1];
    f->power[LOWER] += level[LOWER][0] * level[LOWER][0] + level[LOWER][1] * level[LOWER][1];
    f->forward += pf_square(level[LOWER][0] * facing[LOWER][0] + level[LOWER][1] * facing[LOWER][1]);
    f->side += pf_square(level[LOWER][1] * facing[LOWER][0] - level[LOWER][0] * facing[LOWER][1]);
    double upper_facing[2] = {facing[UPPER][0], facing[UPPER][1]};
    facing[UPPER][0] = cosine * upper_facing[0] - sine * upper_facing[1];
    facing[UPPER][1] = sine * upper_facing[0] + cosine * upper_facing[1];
    pf_watch_hinge(f, (const double (*)[9])r, (const double (*)[3])before, (const double (*)[3])up,
                   (const double (*)[2])facing, cosine, sine);
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 3; i++) {
            f->learnt[s][i] = bias[s][i];
            f->up[s][i] += up[s][i];
            f->gyr[s][i] += gyr[s][i];
        }
    pf_accelerations(f, c, acc, (const double (*)[9])r, cosine, sine);
    if (magnetic == magnetic) {
        double apart_sin, apart_cos;
        spatial_sincos(magnetic - f->x[DELTA], &apart_sin, &apart_cos);
        f->magnetic_cos += apart_cos;
        f->magnetic_sin += apart_sin;
    }
    f->stance_rows += stance ? 1.0 : 0.0;
    for (int s = 0; s < 2; s++) f->rested[s] += rest[s] ? 1.0 : 0.0;
    f->rows += 1.0;
    if (f->rows >= c->step_rows) pf_step(f, c);
}

/* A sensor hid a turn: the heading is less sure by that much. */
static void pf_doubt(pair_filter *f, double variance) {
    f->p[DELTA][DELTA] += variance;
    f->step.noise[DELTA] += variance;
}

/* Hand out the step that the last row completed, and begin the next; 0 if there was none. */
static int pf_take_step(pair_filter *f, pair_step *step) {
    if (f->started == 0.0 || f->rows > 0.0) return 0;
    if (step) *step = f->step;
    memset(f->step.noise, 0, sizeof f->step.noise);
    f->step.anew = f->step.stance = 0.0;
    return 1;
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
