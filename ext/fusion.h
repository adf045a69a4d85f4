/* Orientation filter, what its parts share: parameters and tuning, a stream, and the kernels to choose from.
 *
 * A kernel moves some streams on by some rows, side by side: a lane of a vector each. A stream's state is an array
 * of doubles, so any kernel takes over where any other stopped, and all of them do the same arithmetic in the same
 * order: lanes, cuts and instruction sets never change a bit. */
#ifndef IMUPOSTURE_FUSION_H
#define IMUPOSTURE_FUSION_H

#include <stddef.h>

/* What people choose; explained in imuposture/fusion.py, class Parameters. SI units. */
typedef struct {
    double sensor_delay, acc_tau, mag_tau, mag_turn_time;
    double bias_sigma_start, bias_forgetting_time, bias_limit;
    double bias_sigma_motion, bias_vertical_weight, bias_sigma_rest;
    double rest_min_time, rest_tau, rest_gyr, rest_acc;
    double field_tau, field_reference_tau, field_norm_tolerance, field_dip_tolerance;
    double field_new_time, field_first_time, field_standing_time, field_min_rate;
    double field_undisturbed_time, field_reject_time, field_reject_factor;
    double turn_invariant;
} FusionParameters;

/* Second-order Butterworth low-pass: b = (b0, 2 b0, b0), a = (1, a1, a2). */
typedef struct {
    double b0, a1, a2;
    double settle; /* rows that are averaged before the recursion starts */
} FusionLowPass;

/* What the kernels read: all that is constant while the filter runs. */
typedef struct {
    double period, rate, half_period; /* s, Hz, s */
    double delay;                     /* rows */
    FusionLowPass acc_low_pass, rest_low_pass, field_low_pass;

    double rest_gyr_squared, rest_acc_squared, rest_min_time; /* rad^2/s^2, m^2/s^4, s */

    double bias_limit;                                  /* rad/s */
    double turn_invariant;                              /* 0 or 1 */
    double bias_variance_start, bias_variance_growth;   /* in W of the Kalman update in motion, and the same a row */
    double trust_vertical, trust_rest;                  /* that W by those about the vertical and at rest */

    double heading_gain, heading_tau, turn_time_squared;          /* 1, s, in (half a period)^2 */
    double field_gain, field_norm_tolerance, field_dip_tolerance; /* 1, 1, rad */
    double field_undisturbed_time, field_new_time, field_first_time, field_reject_time; /* s */
    double field_standing_time;                                                         /* s */
    double field_min_rate_squared, field_reject_factor;           /* rad^2/s^2, 1 */
} FusionTuning;

void fusion_tune(FusionTuning *tuning, const FusionParameters *parameters, double rate);

/* One stream: where its rows are, where its results go, and what it remembers. */
typedef struct {
    const double *gyr, *acc, *mag;   /* (rows, 3); mag is NULL without a magnetometer */
    const unsigned char *flags;      /* (rows,) or NULL: no row is a gap */
    double *state;                   /* (FUSION_STATE_DOUBLES,) */
    double *quat, *bias;             /* (rows, 4), (rows, 3) */
    double *inertial, *delta;        /* (rows, 4), (rows,); only with a magnetometer */
    unsigned char *rest, *disturbed; /* (rows,); disturbed only with a magnetometer */
    ptrdiff_t row, rows;             /* the next row, and how many there are */
    ptrdiff_t run;                   /* rows from `row` on that can be filtered without a gap */
} FusionStream;

/* What a stream remembers: how many doubles, how they look before the first row, and what a gap makes of them. */
enum { FUSION_STATE_DOUBLES = 76, FUSION_MAX_LANES = 8 };
void fusion_begin(const FusionTuning *tuning, double *state);
void fusion_restart(double *state);

/* The first row from `row` on that has one of these flags, or `rows`. */
ptrdiff_t fusion_flagged(const unsigned char *flags, ptrdiff_t row, ptrdiff_t rows, unsigned char flag);

/* All values are finite and within the bound, which no sensor reaches in rad/s, m/s2 or uT; so no square
 * overflows. */
#define FUSION_BOUND 1e9
int fusion_bounded(const double *x, ptrdiff_t count);

/* Move the streams, one a lane, on by `rows`; a stream given twice fills a lane that would be idle. */
typedef void (*FusionKernel)(const FusionTuning *tuning, FusionStream *const *streams, ptrdiff_t rows);

/* Instruction sets, each able to do what those before it can. */
enum { FUSION_BASELINE, FUSION_AVX2, FUSION_AVX512, FUSION_LEVELS };
int fusion_level_available(int level); /* by this build and this processor */

/* The kernel of the fewest lanes, at least `streams` of them if there is one; `lanes` says how many it has. */
FusionKernel fusion_kernel(int level, int streams, int *lanes);

/* One a file, NULL where the compiler or the architecture lacks it. */
extern const FusionKernel fusion_scalar, fusion_sse2, fusion_avx2_pair, fusion_avx2, fusion_avx512;

#endif
