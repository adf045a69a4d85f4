/* Two of the sources of the pair filter: poses that are held, and bends. */
#ifndef IMUPOSTURE_PAIR_SOURCES_H
#define IMUPOSTURE_PAIR_SOURCES_H

#include "pair_state.h"

static void pf_open_hold(pair_filter *f, const double up[2][3]) {
    memset(&f->hold, 0, sizeof f->hold);
    memcpy(f->hold.began, up, sizeof f->hold.began);
    memcpy(f->hold.now, up, sizeof f->hold.now);
    f->earlier = f->earliest = f->hold;
}

/* Slope a step of the least-squares line through n values, from their sum and the sum of k times the k-th. */
static double pf_slope(double moment, double sum, double n) {
    return 12.0 * (moment - 0.5 * (n + 1.0) * sum) / ((n * n - 1.0) * n);
}

/* What a hold says about the two biases. */
static void pf_learn_bias(pair_filter *f, const pair_settings *c, const pair_hold *hold) {
    double t = hold->seconds, n = hold->steps, bias[2][3];
    if (t < c->hold_shortest) return;
    for (int s = 0; s < 2; s++) /* slope of the least-squares line: sway at the ends of the hold hardly counts */
        for (int i = 0; i < 3; i++)
            bias[s][i] = pf_slope(hold->moment[s][i], hold->sum[s][i], n) * n / t;
    double sway = pf_square(c->hold_sway_sd) * 12.0 / n, square = t * t, lean = 0.0;
    for (int s = 0; s < 2; s++) /* who sways away slowly turns slowly as well; the inclination shows the one without drift */
        for (int i = 0; i < 3; i++)
            lean += pf_square(pf_slope(hold->lean_moment[s][i], hold->lean_sum[s][i], n) * n);
    lean *= pf_square(c->hold_lean);
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
        pf_update(f, h, innovation, (drift * drift + lean + (sum ? 0.5 : 2.0) * sway) / square, 1);
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
            hold->lean_sum[s][i] += turn[i];
            hold->lean_moment[s][i] += hold->steps * turn[i];
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

static void pf_bend(pair_filter *f, const pair_settings *c, double dt, int other) {
    double joint = sqrt(f->power[UPPER] * f->power[LOWER]), rows = c->step_rows;
    double strength = sqrt(f->cross_re * f->cross_re + f->cross_im * f->cross_im);
    int bending = !other && joint > rows * pf_square(c->bend_rate) && strength > c->bend_coherence * joint;
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

/* What a stretch of gait says about the heading: the angle between the directions in which both segments were pushed. */
static void pf_close_gait(pair_filter *f, const pair_settings *c) {
    double strength = sqrt(f->gait_re * f->gait_re + f->gait_im * f->gait_im);
    double coherence = strength / (sqrt(f->gait_power[UPPER] * f->gait_power[LOWER]) + 1e-12);
    if (f->gait_s > 0.6 * c->gait_seconds && coherence > c->gait_coherence && f->p[DELTA][DELTA] < pf_square(0.7)) {
        double h[STATES] = {0};
        h[DELTA] = h[COUPLING_GAIT] = 1.0;
        double angle = spatial_wrap(spatial_atan2(f->gait_im, f->gait_re) - f->x[COUPLING_GAIT]);
        pf_update(f, h, angle, pf_square(c->gait_sd), 1);
        f->since_bend = 0.0;
    }
    f->gait_s = f->gait_re = f->gait_im = f->gait_power[UPPER] = f->gait_power[LOWER] = 0.0;
}

/* The ground pushes so hard that hips and chest turn against each other: what both turn alike then is no bend. */
static int pf_strides(const pair_filter *f) {
    double hard = f->rows * pf_square(STRIDE_ACC);
    return f->heaved[UPPER] > hard && f->heaved[LOWER] > hard;
}

/* Gait shows in both accelerometers, up and down as well as level. */
static void pf_gait(pair_filter *f, const pair_settings *c, double dt) {
    double up = f->rows * pf_square(c->gait_acc), level = 0.25 * up;
    int walking = f->heaved[UPPER] > up && f->heaved[LOWER] > up && f->pushed[UPPER] > level && f->pushed[LOWER] > level;
    if (walking) {
        f->gait_s += dt;
        f->gait_re += f->push_re;
        f->gait_im += f->push_im;
        for (int s = 0; s < 2; s++) f->gait_power[s] += f->pushed[s];
    }
    if (f->gait_s > 0.0 && (!walking || f->gait_s >= c->gait_seconds)) pf_close_gait(f, c);
}

#endif
