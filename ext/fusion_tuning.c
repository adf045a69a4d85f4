/* From parameters that people choose to the numbers the kernels read. The few functions this takes are summed here,
 * because the mathematical libraries of different systems differ in the last bits, and then so would all rows. */
#include "fusion.h"

#include <math.h>

#define HALF_PI 1.57079632679489655800
#define SQRT_2 1.41421356237309514547
#define BIAS_GROWTH (0.1 * HALF_PI / 90.0) /* 0.1 deg/s, by definition of the forgetting time */

/* The power series of the sine, for 0 to pi / 2. */
static double sine(double x)
{
    double term = x, sum = x;
    for (int n = 3; n < 29; n += 2) {
        term *= -x * x / (n * (n - 1));
        sum += term;
    }
    return sum;
}

/* 1 - exp(-x) for x > 0: the share of the way that a first-order filter goes in x time constants. From the power
 * series at x / 1024, doubled ten times by 1 - e^2 = (1 - e) (1 + e), which loses nothing for small x. */
static double share(double x)
{
    double term = (x < 700.0 ? x : 700.0) / 1024.0, sum = term;
    double step = term;
    for (int n = 2; n < 12; ++n) {
        term *= -step / n;
        sum += term;
    }
    for (int doubling = 0; doubling < 10; ++doubling)
        sum *= 2.0 - sum;
    return sum;
}

/* Second-order Butterworth low-pass by the bilinear transform; its cutoff, sqrt(2) / (2 pi tau), is the one whose step
 * response settles with tau. Below half a period VQF lets samples pass: here a pole sits on each zero. */
static FusionLowPass low_pass(double tau, double period)
{
    FusionLowPass design = {1.0, 2.0, 1.0, ceil(tau / period) - 2.0};
    design.settle = design.settle > 1.0 ? design.settle : 1.0;
    while (design.settle * period < tau)
        design.settle += 1.0;
    if (tau >= period / 2.0) {
        double angle = period / (SQRT_2 * tau);
        double tangent = sine(angle) / sine(HALF_PI - angle);
        double scale = tangent * tangent + SQRT_2 * tangent + 1.0;
        design.b0 = tangent * tangent / scale;
        design.a1 = 2.0 * (tangent * tangent - 1.0) / scale;
        design.a2 = (1.0 - SQRT_2 * tangent + tangent * tangent) / scale;
    }
    return design;
}

/* Within what a bias can be and a matrix of such variances can be inverted. */
static double bounded_sigma(double sigma) { return sigma < 1e-12 ? 1e-12 : sigma > 1e6 ? 1e6 : sigma; }

/* W for which the variance of the bias converges to sigma^2 while it grows by `growth` a row. */
static double weight(double sigma, double growth)
{
    double variance = bounded_sigma(sigma) * bounded_sigma(sigma);
    return variance * variance / growth + variance;
}

void fusion_tune(FusionTuning *tuning, const FusionParameters *p, double rate)
{
    double period = 1.0 / rate;
    double growth = BIAS_GROWTH * BIAS_GROWTH * period / p->bias_forgetting_time;

    tuning->period = period;
    tuning->rate = rate;
    tuning->half_period = period / 2.0;
    tuning->delay = p->sensor_delay * rate;
    tuning->acc_low_pass = low_pass(p->acc_tau, period);
    tuning->rest_low_pass = low_pass(p->rest_tau, period);
    tuning->field_low_pass = low_pass(p->field_tau, period);

    tuning->rest_gyr_squared = p->rest_gyr * p->rest_gyr;
    tuning->rest_acc_squared = p->rest_acc * p->rest_acc;
    tuning->rest_min_time = p->rest_min_time;

    tuning->bias_limit = p->bias_limit;
    tuning->turn_invariant = p->turn_invariant;
    double motion = weight(p->bias_sigma_motion, growth), start = bounded_sigma(p->bias_sigma_start);
    tuning->bias_variance_start = start * start / motion;
    tuning->bias_variance_growth = growth / motion;
    tuning->trust_vertical = p->bias_vertical_weight;
    tuning->trust_rest = motion / weight(p->bias_sigma_rest, growth);

    tuning->heading_gain = share(period / p->mag_tau);
    tuning->heading_tau = p->mag_tau;
    tuning->turn_time_squared = 4.0 * rate * rate * p->mag_turn_time * p->mag_turn_time;
    tuning->field_gain = share(period / p->field_reference_tau);
    tuning->field_norm_tolerance = p->field_norm_tolerance;
    tuning->field_dip_tolerance = p->field_dip_tolerance;
    tuning->field_undisturbed_time = p->field_undisturbed_time;
    tuning->field_new_time = p->field_new_time;
    tuning->field_first_time = p->field_first_time;
    tuning->field_standing_time = p->field_standing_time;
    tuning->field_reject_time = p->field_reject_time;
    tuning->field_min_rate_squared = p->field_min_rate * p->field_min_rate;
    tuning->field_reject_factor = p->field_reject_factor;
}
