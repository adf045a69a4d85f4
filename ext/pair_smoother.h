/* The pair filter, looking back: what later measurements say about earlier steps (H. E. Rauch, F. Tung and C. T. Striebel,
 * AIAA Journal 3 (1965) 1445-1450). Weights stay those that the filter gave its measurements. */
#ifndef IMUPOSTURE_PAIR_SMOOTHER_H
#define IMUPOSTURE_PAIR_SMOOTHER_H

#include "pair_state.h"

/* How a step came from the one before: y = F x. */
static void ps_carry(const pair_step *to, const double x[STATES], double y[STATES]) {
    memcpy(y, x, STATES * sizeof(double));
    if (to->anew != 0.0) y[DELTA] = 0.0;
    for (int i = BIAS_UPPER; i < STATES; i++) y[DELTA] += to->drift[i] * x[i];
    if (to->stance > 0.0) pf_carry_stances(y, to->stance);
}

/* Lower Cholesky factor of a positive definite matrix. */
static void ps_factorise(double a[STATES][STATES]) {
    for (int k = 0; k < STATES; k++) {
        for (int j = 0; j < k; j++) a[k][k] -= a[k][j] * a[k][j];
        a[k][k] = sqrt(a[k][k] > 1e-300 ? a[k][k] : 1e-300);
        for (int i = k + 1; i < STATES; i++) {
            for (int j = 0; j < k; j++) a[i][k] -= a[i][j] * a[k][j];
            a[i][k] /= a[k][k];
        }
    }
}

static void ps_solve(const double factor[STATES][STATES], double b[STATES]) {
    for (int i = 0; i < STATES; i++) {
        for (int j = 0; j < i; j++) b[i] -= factor[i][j] * b[j];
        b[i] /= factor[i][i];
    }
    for (int i = STATES - 1; i >= 0; i--) {
        for (int j = i + 1; j < STATES; j++) b[i] -= factor[j][i] * b[j];
        b[i] /= factor[i][i];
    }
}

/* One step back: x and p, smoothed, of the later step become those of the earlier one.
 * G = P F' (F P F' + Q)^-1;  x <- x_k + G (x - F x_k);  P <- P_k + G (P - F P F' - Q) G'. */
static void ps_back(const pair_step *from, const pair_step *to, double x[STATES], double p[STATES][STATES]) {
    double cross[STATES][STATES], ahead[STATES][STATES], factor[STATES][STATES], gain[STATES][STATES];
    for (int i = 0; i < STATES; i++) ps_carry(to, from->p[i], cross[i]); /* P F' */
    for (int k = 0; k < STATES; k++) {
        double column[STATES], carried[STATES];
        for (int i = 0; i < STATES; i++) column[i] = cross[i][k];
        ps_carry(to, column, carried);
        for (int i = 0; i < STATES; i++) ahead[i][k] = carried[i] + (i == k ? to->noise[i] : 0.0);
    }
    memcpy(factor, ahead, sizeof factor);
    ps_factorise(factor);
    for (int i = 0; i < STATES; i++) {
        memcpy(gain[i], cross[i], sizeof gain[i]);
        ps_solve((const double (*)[STATES])factor, gain[i]);
    }
    double news[STATES], spread[STATES][STATES];
    for (int i = 0; i < STATES; i++) news[i] = x[i] - to->predicted[i];
    for (int i = 0; i < STATES; i++) {
        x[i] = from->x[i];
        for (int j = 0; j < STATES; j++) x[i] += gain[i][j] * news[j];
        for (int k = 0; k < STATES; k++) {
            spread[i][k] = 0.0;
            for (int j = 0; j < STATES; j++) spread[i][k] += gain[i][j] * (p[j][k] - ahead[j][k]);
        }
    }
    for (int i = 0; i < STATES; i++)
        for (int k = 0; k <= i; k++) {
            double sum = from->p[i][k];
            for (int j = 0; j < STATES; j++) sum += spread[i][j] * gain[k][j];
            p[i][k] = sum;
        }
    for (int i = 0; i < STATES; i++)
        for (int k = 0; k < i; k++) p[k][i] = p[i][k];
}

/* Smoothed steps: what has to be added to the filter's heading before (0) and after (1) each step's measurements, and
 * the standard deviation (2), rad. */
static void ps_smooth(const pair_step *steps, ptrdiff_t count, double *results) {
    double x[STATES], p[STATES][STATES];
    for (ptrdiff_t k = count - 1; k >= 0; k--) {
        if (k == count - 1) {
            memcpy(x, steps[k].x, sizeof x);
            memcpy(p, steps[k].p, sizeof p);
        } else {
            ps_back(&steps[k], &steps[k + 1], x, p);
        }
        results[3 * k] = x[DELTA] - steps[k].predicted[DELTA];
        results[3 * k + 1] = x[DELTA] - steps[k].x[DELTA];
        results[3 * k + 2] = sqrt(p[DELTA][DELTA] > 0.0 ? p[DELTA][DELTA] : 0.0);
    }
}

#endif
