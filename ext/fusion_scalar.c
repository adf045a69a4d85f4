/* One stream alone, on any processor and compiler; and what needs no lanes. */
#define LANES 1
#include "fusion_run.h"

#include <float.h>
#include <string.h>

const FusionKernel fusion_scalar = run;

void fusion_begin(const FusionTuning *tuning, double *state)
{
    State start;
    memset(&start, 0, sizeof start);
    start.strapdown[0] = start.inclination[0] = 1.0;
    start.variance[0] = start.variance[3] = start.variance[5] = tuning->bias_variance_start;
    start.start_gain = 1.0;
    start.disturbed = 1.0;
    start.reject_time = tuning->field_reject_time;
    start.candidate[0] = -1.0; /* like nothing that is ever measured */
    memcpy(state, &start, sizeof start);
}

void fusion_restart(double *state)
{
    size_t kept = offsetof(State, undisturbed_time);
    State *began = (State *)state;
    began->resumed = began->gyr_rows > 0.0 ? 1.0 : began->resumed; /* before the first row there is nothing to resume */
    memset((char *)state + kept, 0, sizeof(State) - kept);
}

/* Beyond twice the bound x * span is infinite, and 0 * infinity is NaN, as 0 * NaN is; four sums, because one would
 * have to wait for itself. */
int fusion_bounded(const double *x, ptrdiff_t count)
{
    const double span = DBL_MAX / (2.0 * FUSION_BOUND);
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    ptrdiff_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int j = 0; j < 4; ++j)
            sum[j] += x[i + j] * span * 0.0;
    for (; i < count; ++i)
        sum[0] += x[i] * span * 0.0;
    return sum[0] + sum[1] + sum[2] + sum[3] == 0.0;
}
