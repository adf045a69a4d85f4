/* One stream alone, on any processor and compiler; and what a state looks like before its first row. */
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
    memset((char *)state + kept, 0, sizeof(State) - kept);
}
