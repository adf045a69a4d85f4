/* One stream alone, on any processor and compiler; and what needs no lanes. */
#define LANES 1
#include "fusion_run.h"

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

/* A choice and no branch, so that the compiler takes several values at a time; NaN is within nothing. */
int fusion_bounded(const double *x, ptrdiff_t count)
{
    double good = 1.0;
    for (ptrdiff_t i = 0; i < count; ++i)
        good = fabs(x[i]) <= FUSION_BOUND ? good : 0.0;
    return good == 1.0;
}

ptrdiff_t fusion_flagged(const unsigned char *flags, ptrdiff_t row, ptrdiff_t rows, unsigned char flag)
{
    uint64_t next, eight = 0x0101010101010101u * flag;
    for (; row + 8 <= rows; row += 8) {
        memcpy(&next, flags + row, sizeof next);
        if (next & eight)
            break;
    }
    while (row < rows && !(flags[row] & flag))
        ++row;
    return row;
}
