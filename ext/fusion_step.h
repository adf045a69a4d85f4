/* One row of the orientation filter, for all lanes at once: VQF without magnetometer.
 *
 * D. Laidig and T. Seel, "VQF: Highly accurate IMU orientation estimation with bias estimation and magnetic
 * disturbance rejection", Information Fusion 91 (2023) 187-204, doi:10.1016/j.inffus.2022.10.014, arXiv:2203.17024.
 *
 * Frames: S sensor, I almost inertial (what the gyroscope alone says; drifts slowly), E earth (z up, heading free).
 * The state holds S -> I and I -> E. Gravity is averaged in I, where it hardly moves however the sensor does.
 *
 * There is no branch on data but for rare cases, and no call of the mathematical library: only + - * / and square
 * roots, which every processor rounds the same way. */
#ifndef IMUPOSTURE_FUSION_STEP_H
#define IMUPOSTURE_FUSION_STEP_H

#include "fusion.h"
#include "fusion_algebra.h"
#include "fusion_lanes.h"

/* A low-pass on its way: the two values of direct form II transposed; until it has settled, `first` is a sum. */
typedef struct {
    Lane first, second;
} Section;

/* All a stream remembers; doubles only, so that lanes can be gathered from and scattered to arrays of doubles. */
typedef struct {
    Lane strapdown[4];   /* S -> I */
    Lane inclination[4]; /* I -> E */
    Lane bias[3];        /* of the gyroscope, rad/s, S */
    Lane variance[6];    /* of the bias: xx xy xz yy yz zz */
    Lane delta;          /* heading the magnetometer adds, rad: E -> x east, y north */
    Lane start_gain;     /* 1/N for the N-th row of the first seconds, then 0 */
    Lane disturbed;      /* 1: the magnetic field cannot be trusted */
    Lane reject_time;    /* s for which a disturbed field was ignored */
    Lane reference[2];   /* norm and dip of the field we trust */
    Lane candidate[2];   /* and of the one that may replace it */
    Lane candidate_time; /* s of motion for which the candidate has stood */
    Lane resumed;        /* 1: the averages have started anew at least once */

    /* from here on forgotten when the stream restarts after a gap */
    Lane undisturbed_time; /* s for which the field has looked like the reference, or like the candidate for it */
    Lane rest_time;        /* s for which the sensor has lain still */
    Lane gyr_rows, acc_rows, field_rows; /* rows averaged so far by low-passes that have not settled */
    Section still_gyr[3], still_acc[3];  /* what the sensor would read at rest */
    Section gravity[3];    /* specific force in I */
    Section rotation[9];   /* matrix S -> E */
    Section earth_bias[2]; /* bias turned to E, horizontal part */
    Section field[2];      /* norm and dip */
} State;

/* One row of a settled low-pass (direct form II transposed, second-order Butterworth). */
INLINE Lane filtered(const FusionLowPass *design, Section *section, Lane x)
{
    Lane scaled = design->b0 * x;
    Lane y = scaled + section->first;
    section->first = (scaled + scaled) - design->a1 * y + section->second;
    section->second = scaled - design->a2 * y;
    return y;
}

/* One row of a low-pass that may be young. While `seen` rows are too few its output is their mean; then it starts
 * from the steady state of that mean, so that it need not climb from zero. */
INLINE Lane settling(const FusionLowPass *design, Section *section, Lane x, Lane seen)
{
    Section young = *section, grown = *section;
    Lane sum = young.first + x;
    Lane mean = sum / seen;
    Mask full = seen >= fill(design->settle);
    young.first = choose(full, mean * (1.0 - design->b0), sum);
    young.second = choose(full, mean * (design->b0 - design->a2), fill(0.0));

    Lane y = filtered(design, &grown, x);
    Mask early = seen <= fill(design->settle);
    section->first = choose(early, young.first, grown.first);
    section->second = choose(early, young.second, grown.second);
    return choose(early, mean, y);
}

/* Replace x by its low-pass. `seen` counts this row; `settled` is a constant wherever this is inlined. */
INLINE void smooth(const FusionLowPass *design, Section *section, Lane *x, int channels, Lane seen, int settled)
{
    for (int i = 0; i < channels; ++i)
        x[i] = settled ? filtered(design, &section[i], x[i]) : settling(design, &section[i], x[i], seen);
}

/* Rest, first half: a gyroscope near its own low-pass, and no faster than a bias can be. */
INLINE void watch_gyr(State *state, const FusionTuning *tuning, const Lane gyr[3], Lane still[3], int settled)
{
    for (int i = 0; i < 3; ++i)
        still[i] = gyr[i];
    smooth(&tuning->rest_low_pass, state->still_gyr, still, 3, state->gyr_rows, settled);

    Lane away[3] = {gyr[0] - still[0], gyr[1] - still[1], gyr[2] - still[2]};
    Mask moving = dot(away, away) >= fill(tuning->rest_gyr_squared);
    for (int i = 0; i < 3; ++i)
        moving |= magnitude(still[i]) > fill(tuning->bias_limit);
    state->rest_time = choose(moving, fill(0.0), state->rest_time);
}

/* Rest, second half: an accelerometer near its own low-pass. */
INLINE void watch_acc(State *state, const FusionTuning *tuning, const Lane acc[3], int settled)
{
    Lane still[3] = {acc[0], acc[1], acc[2]};
    smooth(&tuning->rest_low_pass, state->still_acc, still, 3, state->acc_rows, settled);

    Lane away[3] = {acc[0] - still[0], acc[1] - still[1], acc[2] - still[2]};
    Mask moving = dot(away, away) >= fill(tuning->rest_acc_squared);
    state->rest_time = choose(moving, fill(0.0), state->rest_time + tuning->period);
}

INLINE Mask at_rest(const State *state, const FusionTuning *tuning)
{
    return state->rest_time >= fill(tuning->rest_min_time);
}

/* Turn S -> I on by one period at the unbiased rate: q <- q * exp(rate * period / 2). */
INLINE void strapdown(State *state, const FusionTuning *tuning, const Lane gyr[3])
{
    Lane rate[3] = {gyr[0] - state->bias[0], gyr[1] - state->bias[1], gyr[2] - state->bias[2]};
    Lane half_squared = dot(rate, rate) * tuning->quarter_period_squared;
    Lane cosine, sine_by_angle;
    half_angle(half_squared, &cosine, &sine_by_angle);

    Lane along = sine_by_angle * tuning->half_period;
    Lane turn[4] = {cosine, along * rate[0], along * rate[1], along * rate[2]};
    renormalise(state->strapdown); /* before the turn and not after it: nobody has to wait for this */
    multiply(state->strapdown, turn, state->strapdown);
}

/* Turn I -> E by the shortest rotation that brings the averaged specific force upright, and give S -> E.
 * With a = (x, y, z) of length n that is the quaternion (n + z, y, -x, 0) / sqrt(2 n (n + z)).
 * `wrong` is the horizontal part of a / n before the turn. */
INLINE void incline(State *state, const FusionTuning *tuning, const Lane acc[3], Lane quat[4], Lane wrong[2],
                    int settled)
{
    Lane average[3], up[3];
    rotate(state->strapdown, acc, average);
    smooth(&tuning->acc_low_pass, state->gravity, average, 3, state->acc_rows, settled);
    rotate(state->inclination, average, up);

    up[2] += 1e-150; /* no number that matters notices; an average of exactly nothing counts as upright, not as 0/0 */
    Lane length = root(dot(up, up));
    Lane sum = length + up[2];
    Mask defined = sum > 2e-12 * length; /* else upside down: any horizontal axis is as short */
    sum = choose(defined, sum, 2.0 * length);
    Lane scale = 1.0 / root(2.0 * length * sum);
    Lane by_length = 2.0 * sum * (scale * scale); /* = 1 / length */

    Lane w = choose(defined, sum * scale, fill(0.0));
    Lane x = choose(defined, up[1] * scale, fill(1.0));
    Lane y = choose(defined, -up[0] * scale, fill(0.0));
    renormalise(state->inclination);
    multiply(state->inclination, state->strapdown, quat);
    multiply_level(w, x, y, state->inclination);
    multiply_level(w, x, y, quat);
    wrong[0] = up[0] * by_length;
    wrong[1] = up[1] * by_length;
}

/* What the bias filter compares: `error` is measured minus expected, rad/s, `by` the matrix bias -> measured, and
 * `weight` how little the measurement counts. */
typedef struct {
    Lane error[3], by[9], weight[3];
} Innovation;

/* In motion a bias shows as the rate at which the inclination has to be corrected, seen in E through the rotation,
 * averaged as gravity is. The vertical part does not show: a weak zero lets it fade. */
INLINE void innovate(State *state, const FusionTuning *tuning, const Lane quat[4], const Lane wrong[2],
                     Innovation *in, int settled)
{
    Lane *by = in->by, *bias = state->bias;
    matrix(quat, by);
    Lane horizontal[2] = {dot(by, bias), dot(by + 3, bias)};
    smooth(&tuning->acc_low_pass, state->rotation, by, 9, state->acc_rows, settled);
    smooth(&tuning->acc_low_pass, state->earth_bias, horizontal, 2, state->acc_rows, settled);

    in->error[0] = horizontal[0] - wrong[1] * tuning->rate - dot(by, bias);
    in->error[1] = horizontal[1] + wrong[0] * tuning->rate - dot(by + 3, bias);
    in->error[2] = -dot(by + 6, bias);
    in->weight[0] = in->weight[1] = fill(tuning->weight_motion);
    in->weight[2] = fill(tuning->weight_vertical);
}

/* At rest the gyroscope's low-pass is the bias. */
INLINE void innovate_at_rest(const State *state, const FusionTuning *tuning, const Lane still[3], Innovation *in)
{
    Mask rest = at_rest(state, tuning);
    for (int i = 0; i < 3; ++i) {
        in->error[i] = choose(rest, still[i] - state->bias[i], in->error[i]);
        in->weight[i] = choose(rest, fill(tuning->weight_rest), in->weight[i]);
        for (int j = 0; j < 3; ++j)
            in->by[3 * i + j] = choose(rest, fill(i == j ? 1.0 : 0.0), in->by[3 * i + j]);
    }
}

/* The part of a correction that a bias within its limit can explain. Axis by axis, as in the vqf package, depends on the
 * arbitrary heading of the first row; by length, it does not. */
INLINE void limit_error(const FusionTuning *tuning, const Lane in[3], Lane error[3])
{
    Lane square = in[0] * in[0] + in[1] * in[1], limit = fill(tuning->bias_limit);
    error[0] = in[0], error[1] = in[1];
    error[2] = clamp(in[2], tuning->bias_limit);
    if (tuning->turn_invariant == 0.0) {
        error[0] = clamp(in[0], tuning->bias_limit);
        error[1] = clamp(in[1], tuning->bias_limit);
    } else if (!all(square <= limit * limit)) {
        Lane share = choose(square > limit * limit, limit / root(square + 1e-300), fill(1.0));
        error[0] *= share;
        error[1] *= share;
    }
}

/* Kalman update of the bias b with covariance P: S = R P R' + W, b += P R' S^-1 e, P -= P R' S^-1 R P.
 * S is inverted by cofactors: W keeps it far from singular, and the next row, which waits for b, waits for a single
 * division. */
INLINE void learn_bias(State *state, const FusionTuning *tuning, const Innovation *in)
{
    Lane *p = state->variance, cross[3][3], s[6], cofactor[6], error[3], pull[3], share[3][3];
    for (int i = 0; i < 6; i += i == 0 ? 3 : 2) /* xx, yy, zz */
        p[i] += choose(p[i] < fill(tuning->bias_variance_start), fill(tuning->bias_variance_growth), fill(0.0));
    look_through(p, in->by, cross, s);
    s[0] += in->weight[0], s[3] += in->weight[1], s[5] += in->weight[2];
    Lane by_determinant = 1.0 / cofactors(s, cofactor);

    limit_error(tuning, in->error, error);
    multiply_symmetric(cofactor, error, pull);
    for (int i = 0; i < 3; ++i)
        pull[i] *= by_determinant;
    for (int i = 0; i < 3; ++i)
        state->bias[i] = clamp(state->bias[i] + dot(cross[i], pull), tuning->bias_limit);

    for (int i = 0; i < 3; ++i) {
        multiply_symmetric(cofactor, cross[i], share[i]);
        for (int j = 0; j < 3; ++j)
            share[i][j] *= by_determinant;
    }
    p[0] -= dot(cross[0], share[0]), p[1] -= dot(cross[0], share[1]), p[2] -= dot(cross[0], share[2]);
    p[3] -= dot(cross[1], share[1]), p[4] -= dot(cross[1], share[2]);
    p[5] -= dot(cross[2], share[2]);
}

/* An average of few rows moves by much, which is no turn that a bias could explain: as many times as it moves more than
 * a settled one it counts less. The very first rows have a better reason to move: nothing is known of the bias then. */
INLINE void distrust_young(const State *state, const FusionTuning *tuning, Innovation *in)
{
    Lane young = fill(tuning->acc_low_pass.settle) / state->acc_rows;
    Lane more = choose((state->resumed > fill(0.0)) & (young > fill(1.0)), young * young, fill(1.0));
    for (int i = 0; i < 3; ++i)
        in->weight[i] *= more;
}

/* All that follows from the accelerometer; `still` is the gyroscope's low-pass. */
INLINE void level(State *state, const FusionTuning *tuning, const Lane acc[3], const Lane still[3], Lane quat[4], int settled)
{
    Lane wrong[2];
    Innovation innovation;
    if (!settled)
        state->acc_rows += 1.0;
    watch_acc(state, tuning, acc, settled);
    incline(state, tuning, acc, quat, wrong, settled);
    innovate(state, tuning, quat, wrong, &innovation, settled);
    if (!settled && tuning->turn_invariant != 0.0) { /* levelling the first row is no turn that a bias could explain */
        for (int i = 0; i < 3; ++i)
            innovation.error[i] = choose(state->acc_rows < fill(1.5), fill(0.0), innovation.error[i]);
        distrust_young(state, tuning, &innovation);
    }
    innovate_at_rest(state, tuning, still, &innovation);
    learn_bias(state, tuning, &innovation);
}

/* Keep what happened to the lanes of the mask, undo it in the others. */
INLINE void keep(State *state, const State *before, Mask mask)
{
    Lane *now = (Lane *)state;
    const Lane *then = (const Lane *)before;
    for (size_t i = 0; i < sizeof(State) / sizeof(Lane); ++i)
        now[i] = choose(mask, now[i], then[i]);
}

/* Every row comes a little late, through the low-pass in the sensor's chip. What goes out is where the sensor has got
 * to by now, q * exp(rate * delay / 2); the filter itself stays with the rows, which are late alike. */
INLINE void look_ahead(const State *state, const FusionTuning *tuning, const Lane gyr[3], Lane quat[4])
{
    Lane half[3], cosine, sine_by_angle;
    for (int i = 0; i < 3; ++i)
        half[i] = tuning->half_delay * (gyr[i] - state->bias[i]);
    half_angle(dot(half, half), &cosine, &sine_by_angle);
    Lane turn[4] = {cosine, sine_by_angle * half[0], sine_by_angle * half[1], sine_by_angle * half[2]};
    multiply(quat, turn, quat);
}

/* One row: gyroscope and accelerometer in, orientation S -> E out. */
INLINE void step(State *state, const FusionTuning *tuning, const Lane gyr[3], const Lane acc[3], Lane still[3],
                 Lane quat[4], int settled)
{
    if (!settled)
        state->gyr_rows += 1.0;
    watch_gyr(state, tuning, gyr, still, settled);
    strapdown(state, tuning, gyr);

    State before;
    Mask there = dot(acc, acc) > fill(0.0); /* sensors send zeros for "no measurement" */
    int partial = !all(there);
    if (partial)
        before = *state;
    level(state, tuning, acc, still, quat, settled);
    if (partial) {
        Lane held[4];
        keep(state, &before, there);
        multiply(state->inclination, state->strapdown, held);
        for (int i = 0; i < 4; ++i)
            quat[i] = choose(there, quat[i], held[i]);
    }
}

#endif
