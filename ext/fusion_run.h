/* Many rows: gather the lanes' states and rows, take the steps, scatter the results. */
#ifndef IMUPOSTURE_FUSION_RUN_H
#define IMUPOSTURE_FUSION_RUN_H

#include "fusion_heading.h"

#if LANES == 1
#define LANE_OF(a, lane) (a)
#else
#define LANE_OF(a, lane) (a)[lane]
#endif

typedef char the_state_has_its_size[sizeof(State) == FUSION_STATE_DOUBLES * sizeof(Lane) ? 1 : -1];

/* Where the lanes' next rows are and go; copies, so that the loop need not look them up again. */
typedef struct {
    const double *gyr[LANES], *acc[LANES], *mag[LANES];
    double *quat[LANES], *bias[LANES], *inertial[LANES], *delta[LANES];
    unsigned char *rest[LANES], *disturbed[LANES];
} Rows;

INLINE void gather(const double *const *source, ptrdiff_t row, int width, Lane *out)
{
    for (int i = 0; i < width; ++i) {
        Lane value = fill(0.0);
        for (int lane = 0; lane < LANES; ++lane)
            LANE_OF(value, lane) = source[lane][width * row + i];
        out[i] = value;
    }
}

INLINE void scatter(const Lane *values, double *const *target, ptrdiff_t row, int width)
{
    for (int lane = 0; lane < LANES; ++lane)
        for (int i = 0; i < width; ++i)
            target[lane][width * row + i] = LANE_OF(values[i], lane);
}

/* Quaternions of four lanes are a square: turned over its diagonal, each goes out in one piece. */
INLINE void scatter_quat(const Lane q[4], double *const *target, ptrdiff_t row)
{
#if LANES == 4 && defined(__x86_64__)
    Lane wx02 = _mm256_unpacklo_pd(q[0], q[1]), wx13 = _mm256_unpackhi_pd(q[0], q[1]);
    Lane yz02 = _mm256_unpacklo_pd(q[2], q[3]), yz13 = _mm256_unpackhi_pd(q[2], q[3]);
    _mm256_storeu_pd(target[0] + 4 * row, _mm256_permute2f128_pd(wx02, yz02, 0x20));
    _mm256_storeu_pd(target[1] + 4 * row, _mm256_permute2f128_pd(wx13, yz13, 0x20));
    _mm256_storeu_pd(target[2] + 4 * row, _mm256_permute2f128_pd(wx02, yz02, 0x31));
    _mm256_storeu_pd(target[3] + 4 * row, _mm256_permute2f128_pd(wx13, yz13, 0x31));
#else
    scatter(q, target, row, 4);
#endif
}

INLINE void scatter_flag(Lane value, double from, unsigned char *const *target, ptrdiff_t row)
{
    for (int lane = 0; lane < LANES; ++lane)
        target[lane][row] = LANE_OF(value, lane) >= from;
}

INLINE void one_row(State *state, const FusionTuning *tuning, const Rows *rows, ptrdiff_t row, int magnetic, int settled)
{
    Lane gyr[3], acc[3], still[3], half[3], quat[4];
    gather(rows->gyr, row, 3, gyr);
    gather(rows->acc, row, 3, acc);
    step(state, tuning, gyr, acc, still, half, quat, settled);
    scatter(state->bias, rows->bias, row, 3);
    scatter_flag(state->rest_time, tuning->rest_min_time, rows->rest, row);
    Lane mag[3], north[4], cosine, sine;
    if (magnetic) {
        gather(rows->mag, row, 3, mag);
        step_heading(state, tuning, mag, still, half, quat, settled);
    }
    if (tuning->delay != 0.0)
        look_ahead(tuning, half, quat);
    if (!magnetic) {
        scatter_quat(quat, rows->quat, row);
        return;
    }
    Lane facing = 0.5 * state->delta;
    quarter_circle(facing * facing, &cosine, &sine);
    multiply_upright(cosine, facing * sine, quat, north);
    scatter_quat(north, rows->quat, row);
    scatter_quat(quat, rows->inertial, row);
    scatter(&state->delta, rows->delta, row, 1);
    scatter_flag(state->disturbed, 1.0, rows->disturbed, row);
}

/* All low-passes of all lanes have enough rows behind them. */
INLINE int is_settled(const State *state, const FusionTuning *tuning, int magnetic)
{
    Mask young = (state->gyr_rows < fill(tuning->rest_low_pass.settle)) |
                 (state->acc_rows < fill(tuning->rest_low_pass.settle)) |
                 (state->acc_rows < fill(tuning->acc_low_pass.settle));
    if (magnetic)
        young |= (state->field_rows < fill(tuning->field_low_pass.settle)) | (state->start_gain > fill(0.0));
    return !any(young);
}

/* Settled is for good within a run, so the loop without the test comes second. */
INLINE void all_rows(State *state, const FusionTuning *tuning, const Rows *rows, ptrdiff_t count, int magnetic)
{
    ptrdiff_t row = 0;
    for (; row < count && !is_settled(state, tuning, magnetic); ++row)
        one_row(state, tuning, rows, row, magnetic, 0);
    for (; row < count; ++row)
        one_row(state, tuning, rows, row, magnetic, 1);
}

static void run(const FusionTuning *tuning, FusionStream *const *streams, ptrdiff_t count)
{
    State state;
    Rows rows;
    const double *remembered[LANES];
    double *remember[LANES];
    for (int lane = 0; lane < LANES; ++lane) {
        const FusionStream *stream = streams[lane];
        ptrdiff_t row = stream->row;
        remembered[lane] = remember[lane] = stream->state;
        rows.gyr[lane] = stream->gyr + 3 * row;
        rows.acc[lane] = stream->acc + 3 * row;
        rows.quat[lane] = stream->quat + 4 * row;
        rows.bias[lane] = stream->bias + 3 * row;
        rows.rest[lane] = stream->rest + row;
        if (stream->mag) {
            rows.mag[lane] = stream->mag + 3 * row;
            rows.inertial[lane] = stream->inertial + 4 * row;
            rows.delta[lane] = stream->delta + row;
            rows.disturbed[lane] = stream->disturbed + row;
        }
    }
    gather(remembered, 0, FUSION_STATE_DOUBLES, (Lane *)&state);
    if (streams[0]->mag)
        all_rows(&state, tuning, &rows, count, 1);
    else
        all_rows(&state, tuning, &rows, count, 0);
    scatter((const Lane *)&state, remember, 0, FUSION_STATE_DOUBLES);
}

#endif
