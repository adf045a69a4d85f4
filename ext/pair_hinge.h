/* A hinge: one segment stands, the other turns on it about an axis that both hold. Source of the pair filter.
 *
 * The axis of a plane of movement (bending, side bending, a motor's shaft) is fixed in the segment that stands. Seen from
 * the other it turns about the vertical as the heading drifts: once learnt while the heading was good, every later turn
 * about it shows the heading. A line has no direction: all of it is modulo half a turn, by squares of complex numbers.
 */
#ifndef IMUPOSTURE_PAIR_HINGE_H
#define IMUPOSTURE_PAIR_HINGE_H

#include "pair_state.h"

/* Sums of a row. r: segment -> earth; w: rates less bias; up: the vertical; facing: of each segment, as complex numbers in
 * the lower one's earth frame; cosine, sine: of the heading. */
static void pf_watch_hinge(pair_filter *f, const double r[2][9], const double w[2][3], const double up[2][3],
                           const double facing[2][2], double cosine, double sine) {
    double vertical[2] = {spatial_dot(up[UPPER], w[UPPER]), spatial_dot(up[LOWER], w[LOWER])}, level[2][2];
    for (int s = 0; s < 2; s++) {
        level[s][0] = spatial_dot(r[s], w[s]);
        level[s][1] = spatial_dot(r[s] + 3, w[s]);
        f->spin[s] += spatial_dot(w[s], w[s]);
    }
    for (int who = 0; who < 2; who++) { /* the rate of the one that turns, less its twist, relative to the one that stands */
        double one[2][2], twist = up[who][1] < 0.25 ? 0.0 : (vertical[who] - vertical[1 - who]) / up[who][1];
        memcpy(one, level, sizeof one);
        one[who][0] -= r[who][1] * twist;
        one[who][1] -= r[who][4] * twist;
        double re = cosine * one[UPPER][0] - sine * one[UPPER][1] - one[LOWER][0];
        double im = sine * one[UPPER][0] + cosine * one[UPPER][1] - one[LOWER][1];
        const double *stands = facing[1 - who];
        double a = re * stands[0] + im * stands[1], b = im * stands[0] - re * stands[1];
        f->line_re[who] += a * a - b * b;
        f->line_im[who] += 2.0 * a * b;
        f->line_power[who] += a * a + b * b;
    }
}

/* What the orientation filters have learnt of their biases, where no stance has told them: all of it at rest, across the
 * vertical in motion. They learn slowly, so that a step counts little. */
static void pf_learnt(pair_filter *f, const pair_settings *c, const double up[2][3]) {
    for (int s = 0; s < 2; s++) {
        int rest = f->rested[s] > 0.5 * f->rows;
        double noise = rest ? pf_square(c->rest_bias_sd) : 1.5 * pf_square(c->motion_bias_sd);
        for (int i = 0; i < 3; i++) {
            double h[STATES] = {0}, innovation = 0.0;
            for (int k = 0; k < 3; k++) {
                h[1 + 3 * s + k] = (i == k ? 1.0 : 0.0) - (rest ? 0.0 : up[s][i] * up[s][k]);
                innovation += h[1 + 3 * s + k] * (f->learnt[s][k] - f->x[1 + 3 * s + k]);
            }
            pf_update(f, h, innovation, noise, 1);
        }
    }
}

/* Forget the axis of a plane: noise, so that what was known of it before says nothing of it now, also looking back. */
static void pf_forget_axis(pair_filter *f, int plane) {
    f->hinge_known[plane] = 1.0;
    f->p[HINGE + plane][HINGE + plane] += HINGE_ANYWHERE;
    f->step.noise[HINGE + plane] += HINGE_ANYWHERE;
}

/* An axis was seen: of which plane, and what it says. One the heading has become too unsure for is learnt anew, so that
 * from now on at least it drifts no further. */
static void pf_see_axis(pair_filter *f, const pair_settings *c, double seen, double sign, double noise) {
    double away[HINGES], h[STATES] = {0};
    int plane = -1, free = -1;
    for (int k = 0; k < HINGES; k++) {
        away[k] = 0.5 * spatial_wrap(2.0 * (seen - f->x[HINGE + k]));
        if (f->hinge_known[k] == 0.0) free = k;
        else if (plane < 0 || fabs(away[k]) < fabs(away[plane])) plane = k;
    }
    if (plane < 0) {
        plane = free;
        pf_forget_axis(f, plane);
    } else {
        int k = HINGE + plane;
        double unsure = f->p[DELTA][DELTA] - 2.0 * sign * f->p[DELTA][k] + f->p[k][k], most = pf_square(c->hinge_unsure);
        if (unsure > most + noise) pf_forget_axis(f, plane);
        else if (fabs(away[plane]) > HINGE_OTHER && free >= 0 && unsure < 0.25 * most + noise) pf_forget_axis(f, plane = free);
        else if (fabs(away[plane]) > HINGE_SAME) return;
    }
    h[DELTA] = sign;
    h[HINGE + plane] = -1.0;
    pf_update(f, h, -away[plane], noise, 1);
    f->since_bend = 0.0;
}

static void pf_close_hinge(pair_filter *f, const pair_settings *c) {
    double strength = sqrt(pf_square(f->hinge_re) + pf_square(f->hinge_im));
    if (f->hinge_s > 0.0 && strength > c->hinge_coherence * f->hinge_power) {
        double noise = pf_square(c->hinge_sd * (f->hinge_s < 1.0 ? 1.5 : 1.0));
        pf_see_axis(f, c, 0.5 * spatial_atan2(f->hinge_im, f->hinge_re), f->hinge_who == UPPER ? 1.0 : -1.0, noise);
    }
    f->hinge_s = f->hinge_re = f->hinge_im = f->hinge_power = 0.0;
}

/* Returns whether one of them turns on the other. */
static int pf_hinge(pair_filter *f, const pair_settings *c, double dt) {
    int who = f->line_power[UPPER] * f->spin[UPPER] >= f->line_power[LOWER] * f->spin[LOWER] ? UPPER : LOWER;
    double moves = f->line_power[who];
    double strength = sqrt(pf_square(f->line_re[who]) + pf_square(f->line_im[who]));
    int turning = moves > f->rows * pf_square(c->hinge_rate) && moves > 0.5 * f->spin[who]
                  && f->spin[1 - who] < pf_square(c->hinge_still) * moves && strength > c->hinge_coherence * moves;
    if (f->hinge_s > 0.0 && (!turning || who != f->hinge_who)) pf_close_hinge(f, c);
    if (!turning) return 0;
    f->hinge_who = who;
    f->hinge_s += dt;
    f->hinge_re += f->line_re[who];
    f->hinge_im += f->line_im[who];
    f->hinge_power += moves;
    if (f->hinge_s >= c->bend_longest) pf_close_hinge(f, c);
    return 1;
}

#endif
