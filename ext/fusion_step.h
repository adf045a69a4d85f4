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
    Lane variance[6];    /* of the bias, in W of the Kalman update in motion: xx xy xz yy yz zz */
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

/* One row of a settled low-pass (direct form II transposed, second-order Butterworth). It comes times b0, because what
 * is rotated is cheaper to scale before. */
INLINE Lane filtered(const FusionLowPass *design, Section *section, Lane scaled)
{
    Lane y = scaled + section->first;
    section->first = (scaled + scaled) - design->a1 * y + section->second;
    section->second = scaled - design->a2 * y;
    return y;
}

/* One row of a low-pass that may be young. While `seen` rows are too few its output is their mean; then it starts
 * from the steady state of that mean, so that it need not climb from zero. */
INLINE Lane settling(const FusionLowPass *design, Section *section, Lane scaled, Lane seen)
{
    Section young = *section, grown = *section;
    Lane sum = young.first + scaled / design->b0;
    Lane mean = sum / seen;
    Mask full = seen >= fill(design->settle);
    young.first = choose(full, mean * (1.0 - design->b0), sum);
    young.second = choose(full, mean * (design->b0 - design->a2), fill(0.0));

    Lane y = filtered(design, &grown, scaled);
    Mask early = seen <= fill(design->settle);
    section->first = choose(early, young.first, grown.first);
    section->second = choose(early, young.second, grown.second);
    return choose(early, mean, y);
}

/* Replace x, times b0, by its low-pass. `seen` counts this row; `settled` is a constant wherever this is inlined. */
INLINE void smooth(const FusionLowPass *design, Section *section, Lane *x, int channels, Lane seen, int settled)
{
    for (int i = 0; i < channels; ++i)
        x[i] = settled ? filtered(design, &section[i], x[i]) : settling(design, &section[i], x[i], seen);
}

/* Rest, first half: a gyroscope near its own low-pass, and no faster than a bias can be. */
INLINE void watch_gyr(State *state, const FusionTuning *tuning, const Lane gyr[3], Lane still[3], int settled)
{
    for (int i = 0; i < 3; ++i)
        still[i] = tuning->rest_low_pass.b0 * gyr[i];
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
    Lane still[3];
    for (int i = 0; i < 3; ++i)
        still[i] = tuning->rest_low_pass.b0 * acc[i];
    smooth(&tuning->rest_low_pass, state->still_acc, still, 3, state->acc_rows, settled);

    Lane away[3] = {acc[0] - still[0], acc[1] - still[1], acc[2] - still[2]};
    Mask moving = dot(away, away) >= fill(tuning->rest_acc_squared);
    state->rest_time = choose(moving, fill(0.0), state->rest_time + tuning->period);
}

INLINE Mask at_rest(const State *state, const FusionTuning *tuning)
{
    return state->rest_time >= fill(tuning->rest_min_time);
}

/* q <- q * exp(half), where half is half a turn, rad. */
INLINE void turn_on(const Lane half[3], Lane q[4])
{
    Lane cosine, sine_by_angle;
    half_angle(dot(half, half), &cosine, &sine_by_angle);
    Lane turn[4] = {cosine, sine_by_angle * half[0], sine_by_angle * half[1], sine_by_angle * half[2]};
    multiply(q, turn, q);
}

/* Turn S -> I on by one period at the unbiased rate; `half` is half of that turn. */
INLINE void strapdown(State *state, const FusionTuning *tuning, const Lane gyr[3], Lane half[3])
{
    for (int i = 0; i < 3; ++i)
        half[i] = tuning->half_period * (gyr[i] - state->bias[i]);
    renormalise(state->strapdown); /* before the turn and not after it: nobody has to wait for this */
    turn_on(half, state->strapdown);
}

/* The shortest turn that brings a = (x, y, z), of length n, upright: the quaternion (n + z, y, -x, 0) over
 * sqrt(2 n (n + z)). `wrong` is the horizontal part of a / n. */
typedef struct {
    Lane w, x, y, wrong[2];
} Levelling;

/* The long way, for any a. */
INLINE Levelling level_far(const Lane a[3])
{
    Lane z = a[2] + 1e-150; /* no number that matters notices; an average of nothing counts as upright, not as 0/0 */
    Lane length = root(a[0] * a[0] + a[1] * a[1] + z * z);
    Lane sum = length + z;
    Mask defined = sum > 2e-12 * length; /* else upside down: any horizontal axis is as short */
    sum = choose(defined, sum, 2.0 * length);
    Lane scale = 1.0 / root(2.0 * length * sum);
    Lane by_length = 2.0 * sum * (scale * scale); /* = 1 / length */
    return (Levelling){choose(defined, sum * scale, fill(0.0)), choose(defined, a[1] * scale, fill(1.0)),
                       choose(defined, -a[0] * scale, fill(0.0)), {a[0] * by_length, a[1] * by_length}};
}

/* From row to row a leaves the vertical by less than half a degree. There power series in t = (x^2 + y^2) / z^2 are
 * exact to 3e-17, and wait for one division instead of that and two roots; beyond, lane by lane, the long way. */
INLINE Levelling level_out(const Lane a[3])
{
    Lane by_z = 1.0 / a[2], x = a[0] * by_z, y = a[1] * by_z;
    Lane t = (a[0] * a[0] + a[1] * a[1]) * (by_z * by_z), t2 = t * t;
    Lane cosine = (1.0 - t * (1.0 / 8.0)) + t2 * (11.0 / 128.0 - t * (69.0 / 1024.0));
    Lane sine = (0.5 - t * (3.0 / 16.0)) + t2 * (31.0 / 256.0 - t * (187.0 / 2048.0)); /* both of half the angle */
    Lane whole = (1.0 - t * (1.0 / 2.0)) + t2 * (3.0 / 8.0 - t * (5.0 / 16.0));
    Levelling turn = {cosine, y * sine, -x * sine, {x * whole, y * whole}};
    Mask near = (t < fill(1e-4)) & (a[2] > fill(0.0));
    if (!all(near)) {
        Levelling far = level_far(a);
        turn.w = choose(near, turn.w, far.w);
        turn.x = choose(near, turn.x, far.x), turn.y = choose(near, turn.y, far.y);
        turn.wrong[0] = choose(near, turn.wrong[0], far.wrong[0]);
        turn.wrong[1] = choose(near, turn.wrong[1], far.wrong[1]);
    }
    return turn;
}

/* Turn I -> E so that the averaged specific force is upright, and give S -> E. `wrong` is how far it was not. What does
 * not depend on this row's turn stands before what does. */
INLINE void incline(State *state, const FusionTuning *tuning, const Lane acc[3], Lane quat[4], Lane wrong[2],
                    int settled)
{
    Lane average[3], up[3], inclination[9];
    renormalise(state->inclination);
    matrix(state->inclination, 1.0, inclination);
    for (int i = 0; i < 3; ++i)
        average[i] = tuning->acc_low_pass.b0 * acc[i];
    rotate(state->strapdown, average, average);
    smooth(&tuning->acc_low_pass, state->gravity, average, 3, state->acc_rows, settled);
    transform(inclination, average, up);
    multiply(state->inclination, state->strapdown, quat);

    Levelling turn = level_out(up);
    multiply_level(turn.w, turn.x, turn.y, quat);
    multiply_level(turn.w, turn.x, turn.y, state->inclination);
    wrong[0] = turn.wrong[0], wrong[1] = turn.wrong[1];
}

/* What the bias filter compares: `error` is measured minus expected, rad/s, `by` the matrix bias -> measured, and `trust`
 * the share of itself that a row in motion counts. */
typedef struct {
    Lane error[3], by[9], trust;
} Innovation;

/* In motion a bias shows as the rate at which the inclination has to be corrected, seen in E through the rotation,
 * averaged as gravity is. The vertical part does not show: a weak zero lets it fade. */
INLINE void innovate(State *state, const FusionTuning *tuning, const Lane quat[4], const Lane wrong[2],
                     Innovation *in, int settled)
{
    Lane *by = in->by, *bias = state->bias;
    matrix(quat, tuning->acc_low_pass.b0, by);
    Lane horizontal[2] = {dot(by, bias), dot(by + 3, bias)};
    smooth(&tuning->acc_low_pass, state->rotation, by, 9, state->acc_rows, settled);
    smooth(&tuning->acc_low_pass, state->earth_bias, horizontal, 2, state->acc_rows, settled);

    in->error[0] = horizontal[0] - wrong[1] * tuning->rate - dot(by, bias);
    in->error[1] = horizontal[1] + wrong[0] * tuning->rate - dot(by + 3, bias);
    in->error[2] = -dot(by + 6, bias);
    in->trust = fill(1.0);
}

/* The part of a correction that a bias within its limit can explain. Axis by axis, as in the vqf package, depends on the
 * arbitrary heading of the first row; by length, it does not. */
INLINE void limit_error(const FusionTuning *tuning, Lane error[3])
{
    Lane square = error[0] * error[0] + error[1] * error[1], limit = fill(tuning->bias_limit);
    error[2] = clamp(error[2], tuning->bias_limit);
    if (tuning->turn_invariant == 0.0) {
        error[0] = clamp(error[0], tuning->bias_limit);
        error[1] = clamp(error[1], tuning->bias_limit);
    } else if (!all(square <= limit * limit)) {
        Lane share = choose(square > limit * limit, limit / root(square + 1e-300), fill(1.0));
        error[0] *= share;
        error[1] *= share;
    }
}

/* What was known of the bias before this row: the inverse of its covariance, which grows by a row. */
INLINE void recall_bias(const State *state, const FusionTuning *tuning, Lane information[6])
{
    Lane p[6];
    for (int i = 0; i < 6; ++i)
        p[i] = state->variance[i];
    for (int i = 0; i < 6; i += i == 0 ? 3 : 2) /* xx, yy, zz */
        p[i] += choose(p[i] < fill(tuning->bias_variance_start), fill(tuning->bias_variance_growth), fill(0.0));
    invert_symmetric(p, information);
}

/* What a row adds: information R' W^-1 R and its `pull` R' W^-1 e. In motion W is 1 about the horizontal axes of E; at
 * rest R is the unit matrix. */
INLINE void weigh_row(const State *state, const FusionTuning *tuning, const Innovation *in, const Lane still[3],
                  Lane information[6], Lane pull[3])
{
    Mask rest = at_rest(state, tuning);
    const Lane *x = in->by, *y = in->by + 3, *z = in->by + 6;
    Lane error[3], faint[3], none = fill(0.0), trust = fill(tuning->trust_rest);
    for (int i = 0; i < 3; ++i)
        error[i] = choose(rest, still[i] - state->bias[i], in->error[i]);
    limit_error(tuning, error);
    for (int i = 0; i < 3; ++i)
        faint[i] = tuning->trust_vertical * z[i];
    for (int i = 0, k = 0; i < 3; ++i)
        for (int j = i; j < 3; ++j, ++k)
            information[k] = choose(rest, i == j ? trust : none, in->trust * (x[i] * x[j] + y[i] * y[j] + faint[i] * z[j]));
    for (int i = 0; i < 3; ++i)
        pull[i] = choose(rest, trust * error[i], in->trust * (x[i] * error[0] + y[i] * error[1] + faint[i] * error[2]));
}

/* Kalman update of the bias b with covariance P, as a sum of informations: P^-1 += R' W^-1 R, b += P R' W^-1 e. The next
 * row, which waits for b, so waits for a single division. */
INLINE void learn_bias(State *state, const FusionTuning *tuning, const Innovation *in, const Lane still[3],
                       const Lane known[6])
{
    Lane information[6], pull[3], cofactor[6], change[3];
    weigh_row(state, tuning, in, still, information, pull);
    for (int i = 0; i < 6; ++i)
        information[i] += known[i];
    Lane by_determinant = 1.0 / cofactors(information, cofactor);
    multiply_symmetric(cofactor, pull, change);
    for (int i = 0; i < 3; ++i)
        state->bias[i] = clamp(state->bias[i] + change[i] * by_determinant, tuning->bias_limit);
    for (int i = 0; i < 6; ++i)
        state->variance[i] = cofactor[i] * by_determinant;
}

/* An average of few rows moves by much, which is no turn that a bias could explain: as many times as it moves more than
 * a settled one it counts less. The very first rows have a better reason to move: nothing is known of the bias then. */
INLINE void distrust_young(const State *state, const FusionTuning *tuning, Innovation *in)
{
    Lane grown = state->acc_rows * (1.0 / tuning->acc_low_pass.settle);
    in->trust = choose((state->resumed > fill(0.0)) & (grown < fill(1.0)), grown * grown, fill(1.0));
}

/* All that follows from the accelerometer; `still` is the gyroscope's low-pass, `known` what was known of the bias. */
INLINE void level(State *state, const FusionTuning *tuning, const Lane acc[3], const Lane still[3],
                  const Lane known[6], Lane quat[4], int settled)
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
    learn_bias(state, tuning, &innovation, still, known);
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
 * to by now at the rate of this row; the filter itself stays with the rows, which are late alike. */
INLINE void look_ahead(const FusionTuning *tuning, const Lane half[3], Lane quat[4])
{
    Lane ahead[3] = {tuning->delay * half[0], tuning->delay * half[1], tuning->delay * half[2]};
    turn_on(ahead, quat);
}

/* One row: gyroscope and accelerometer in; out the gyroscope's low-pass, half the turn of the row, and S -> E. */
INLINE void step(State *state, const FusionTuning *tuning, const Lane gyr[3], const Lane acc[3], Lane still[3],
                 Lane half[3], Lane quat[4], int settled)
{
    if (!settled)
        state->gyr_rows += 1.0;
    Lane known[6];
    strapdown(state, tuning, gyr, half);
    recall_bias(state, tuning, known);
    watch_gyr(state, tuning, gyr, still, settled);

    State before;
    Mask there = dot(acc, acc) > fill(0.0); /* sensors send zeros for "no measurement" */
    int partial = !all(there);
    if (partial)
        before = *state;
    level(state, tuning, acc, still, known, quat, settled);
    if (partial) {
        Lane held[4];
        keep(state, &before, there);
        multiply(state->inclination, state->strapdown, held);
        for (int i = 0; i < 4; ++i)
            quat[i] = choose(there, quat[i], held[i]);
    }
}

#endif
