/* One row of the magnetometer's part of the filter (VQF, sections on heading correction and magnetic disturbance
 * rejection): an angle `delta` about the vertical that turns x to the east and y to the north.
 *
 * The inclination never depends on the magnetometer. A field is trusted while its norm and dip are those of the
 * reference; a candidate that stands long enough in motion becomes the new reference. */
#ifndef IMUPOSTURE_FUSION_HEADING_H
#define IMUPOSTURE_FUSION_HEADING_H

#include "fusion_step.h"

/* Norm and dip look like `expected`. */
INLINE Mask alike(const FusionTuning *tuning, const Lane field[2], const Lane expected[2])
{
    Mask norm = magnitude(field[0] - expected[0]) < tuning->field_norm_tolerance * expected[0];
    Mask dip = magnitude(field[1] - expected[1]) < fill(tuning->field_dip_tolerance);
    return norm & dip;
}

/* Let `reference` follow the field where the mask says so. */
INLINE void follow(const FusionTuning *tuning, Mask mask, const Lane field[2], Lane reference[2])
{
    for (int i = 0; i < 2; ++i)
        reference[i] = choose(mask, reference[i] + tuning->field_gain * (field[i] - reference[i]), reference[i]);
}

/* No field was ever taken for the reference. */
INLINE Mask no_reference(const State *state) { return state->reference[0] <= fill(0.0); }

/* Is this the field we know? It has to look so for a while before it is trusted again. While we know none, it should at
 * least be the `same` for a while. */
INLINE void judge_field(State *state, const FusionTuning *tuning, const Lane field[2], Mask same)
{
    Mask known = alike(tuning, field, state->reference);
    Mask stands = known | (same & no_reference(state));
    state->undisturbed_time = choose(stands, state->undisturbed_time + tuning->period, fill(0.0));
    Mask trusted = known & (state->undisturbed_time >= fill(tuning->field_undisturbed_time));
    follow(tuning, trusted, field, state->reference);
    state->disturbed = choose(trusted, fill(0.0), choose(known, state->disturbed, fill(1.0)));
}

/* Is there another field, the same for long enough while the sensor turned? Then it is the new reference. */
INLINE void judge_candidate(State *state, const FusionTuning *tuning, const Lane field[2], Mask same,
                            const Lane still[3])
{
    Mask turning = same & (dot(still, still) >= fill(tuning->field_min_rate_squared));
    state->candidate_time += choose(turning, fill(tuning->period), fill(0.0));
    follow(tuning, same, field, state->candidate);

    Lane needed = choose(no_reference(state), fill(tuning->field_first_time), fill(tuning->field_new_time));
    Mask accepted = same & (state->disturbed > fill(0.0)) & (state->candidate_time >= needed);
    for (int i = 0; i < 2; ++i) {
        state->reference[i] = choose(accepted, state->candidate[i], state->reference[i]);
        state->candidate[i] = choose(same, state->candidate[i], field[i]);
    }
    state->candidate_time = choose(same, state->candidate_time, fill(0.0));
    state->disturbed = choose(accepted, fill(0.0), state->disturbed);
    state->undisturbed_time = choose(accepted, fill(tuning->field_undisturbed_time), state->undisturbed_time);
}

/* How much a row in a turn is worth, 1 at rest: a magnetometer answers later than a gyroscope, by a time nobody states,
 * and points behind by the angle turned meanwhile. A weight 1 / (1 + square of the error / square of what is usual). */
INLINE Lane promptness(const FusionTuning *tuning, const Lane half[3])
{
    return 1.0 / (1.0 + tuning->turn_time_squared * dot(half, half));
}

/* The share of the disagreement to take over: none while a disturbance is short, less while it lasts, and at the
 * start 1/N of the N-th row, the mean, so that the heading is there at once. Before there is a reference, only a field
 * that stands counts: a magnet that comes near is the first thing some recordings hold. */
INLINE Lane heading_gain(State *state, const FusionTuning *tuning, Lane prompt, int settled)
{
    Mask disturbed = state->disturbed > fill(0.0);
    Mask patient = state->reject_time <= fill(tuning->field_reject_time);
    Lane slow = choose(patient, fill(0.0), fill(tuning->heading_gain / tuning->field_reject_factor));
    Lane gain = prompt * choose(disturbed, slow, fill(tuning->heading_gain));

    Lane longer = choose(patient, state->reject_time + tuning->period, state->reject_time);
    Lane shorter = state->reject_time - tuning->field_reject_factor * tuning->period;
    shorter = choose(shorter > fill(0.0), shorter, fill(0.0));
    state->reject_time = choose(disturbed, longer, shorter);

    Mask wavers = no_reference(state) & (state->undisturbed_time < fill(tuning->field_standing_time));
    if (!settled) {
        Lane start = state->start_gain;
        wavers &= start < fill(1.0); /* the first row counts, whatever it holds */
        gain = choose(gain < start, start, gain);
        start = start / (start + 1.0);
        state->start_gain = choose(start * tuning->heading_tau < fill(tuning->period), fill(0.0), start);
    }
    return choose(wavers, fill(0.0), gain);
}

/* Into -pi to pi, from at most one turn outside. */
INLINE Lane wrapped(Lane angle)
{
    angle = choose(angle > fill(PI), angle - 2.0 * PI, angle);
    return choose(angle < fill(-PI), angle + 2.0 * PI, angle);
}

/* One row: magnetometer in, heading moved on. `quat` is S -> E without magnetometer. */
INLINE void turn_north(State *state, const FusionTuning *tuning, const Lane mag[3], const Lane still[3],
                       const Lane half[3], const Lane quat[4], int settled)
{
    Lane earth[3], field[2];
    if (!settled)
        state->field_rows += 1.0;
    rotate(quat, mag, earth);
    Lane level_squared = earth[0] * earth[0] + earth[1] * earth[1];
    field[0] = tuning->field_low_pass.b0 * root(dot(mag, mag)); /* no need to wait for the rotation */
    field[1] = -tuning->field_low_pass.b0 * arctangent(earth[2], root(level_squared));
    smooth(&tuning->field_low_pass, state->field, field, 2, state->field_rows, settled);
    Mask same = alike(tuning, field, state->candidate);
    judge_field(state, tuning, field, same);
    judge_candidate(state, tuning, field, same, still);

    Lane off = wrapped(arctangent(earth[0], earth[1]) - state->delta);
    Lane gain = heading_gain(state, tuning, promptness(tuning, half), settled);
    state->delta = wrapped(state->delta + gain * off);
}

/* The same, but a row without a measurement changes nothing. */
INLINE void step_heading(State *state, const FusionTuning *tuning, const Lane mag[3], const Lane still[3],
                         const Lane half[3], const Lane quat[4], int settled)
{
    State before;
    Lane squared = dot(mag, mag);
    Mask there = (squared > fill(0.0)) & (squared < fill(1e300)); /* NaN is neither */
    int partial = !all(there);
    if (partial)
        before = *state;
    turn_north(state, tuning, mag, still, half, quat, settled);
    if (partial)
        keep(state, &before, there);
}

#endif
