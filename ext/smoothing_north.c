/* The heading of a whole recording, from the field in each bin.
 *
 * Seen in the frame that gravity levels, the field turns as slowly as the gyroscope's heading drifts, so the heading d(t)
 * is the curve that minimises
 *
 *     integral of  w (m - d)^2 + slope d'^2 + curve d''^2,      m the heading of the field, w <= 1 its trust,
 *
 * a smoothing spline (Whittaker 1923, Eilers 2003). What is off, the norm, the dip or the heading of a field, lowers its
 * trust, w = 1 / (1 + residual^2 / doubt^2), in a few rounds (iteratively reweighted least squares, Cauchy weights). */
#define LANES 1
#include "smoothing.h"
#include "fusion_heading.h"

enum { ROUNDS = 5 };
static const double LEAST = 1e-6; /* weight, s, that holds a bin without any at its last value */

/* A bin; doubles only, because it lies in an array of doubles. */
typedef struct {
    double field[3], count;  /* sum in E and its rows */
    double whole;            /* 1: without a gap */
    double level, up, north; /* the mean field: horizontal length, vertical part, heading */
    double expected[2];      /* what `level` and `up` should be */
    double heading;          /* d, rad, any number of turns */
    double weight;           /* w times the seconds that were measured */
    double disturbed;
    double value, target;                /* of the curve being fitted: x and what it should follow */
    double pivot, next, after, residual; /* L D L' of its equations, and their right side */
} Bin;

typedef char a_bin_has_its_size[sizeof(Bin) == SMOOTHING_BIN_DOUBLES * sizeof(double) ? 1 : -1];

/* Prices of the curve being fitted. */
typedef struct {
    double slope, curve, jump; /* `jump` takes the place of both at gaps */
} Prices;

static double whole_turns_off(double angle) { return angle - 2.0 * PI * nearest(angle * (0.5 / PI)); }

/* The price of the step from bin j to the next one, and of the bend in bin j. */
static double step_price(const Prices *prices, const Bin *bins, ptrdiff_t count, ptrdiff_t j)
{
    if (j < 0 || j + 1 >= count)
        return 0.0;
    return bins[j].whole * bins[j + 1].whole > 0.0 ? prices->slope : prices->jump;
}

static double bend_price(const Prices *prices, const Bin *bins, ptrdiff_t count, ptrdiff_t j)
{
    if (j < 1 || j + 1 >= count)
        return 0.0;
    return bins[j - 1].whole * bins[j].whole * bins[j + 1].whole > 0.0 ? prices->curve : 0.0;
}

/* The price of a bend times the bend. */
static double bent(const Prices *prices, const Bin *bins, ptrdiff_t count, ptrdiff_t j)
{
    double price = bend_price(prices, bins, count, j);
    return price > 0.0 ? price * ((bins[j + 1].value - bins[j].value) - (bins[j].value - bins[j - 1].value)) : 0.0;
}

/* Row j of the equations for the change of x: two diagonals, and what pulls at x now. */
static void set_up(const Prices *prices, Bin *bins, ptrdiff_t count, ptrdiff_t j)
{
    double step[2], bend[3];
    for (int i = 0; i < 2; ++i)
        step[i] = step_price(prices, bins, count, j - 1 + i);
    for (int i = 0; i < 3; ++i)
        bend[i] = bend_price(prices, bins, count, j - 1 + i);
    Bin *bin = &bins[j];
    bin->pivot = bin->weight + LEAST + step[0] + step[1] + bend[0] + 4.0 * bend[1] + bend[2];
    bin->next = -step[1] - 2.0 * (bend[1] + bend[2]);
    bin->after = bend[2];
    bin->residual = bin->weight * (bin->target - bin->value);
    if (step[1] > 0.0)
        bin->residual += step[1] * (bins[j + 1].value - bin->value);
    if (step[0] > 0.0)
        bin->residual -= step[0] * (bin->value - bins[j - 1].value);
    bin->residual -= bent(prices, bins, count, j - 1) - 2.0 * bent(prices, bins, count, j) +
                     bent(prices, bins, count, j + 1);
}

/* Move x to the minimum: L D L' of the pentadiagonal matrix. Solved for the change, which is small after the first
 * rounds, so that hours of bins lose no digits. */
static void fit(const Prices *prices, Bin *bins, ptrdiff_t count)
{
    for (ptrdiff_t j = 0; j < count; ++j) {
        set_up(prices, bins, count, j);
    }
    for (ptrdiff_t j = 0; j < count; ++j) {
        Bin *bin = &bins[j];
        double next = bin->next, after = bin->after;
        if (j > 0) {
            const Bin *one = bin - 1;
            bin->pivot -= one->pivot * one->next * one->next;
            bin->residual -= one->next * one->residual;
            next -= one->pivot * one->next * one->after;
        }
        if (j > 1) {
            const Bin *two = bin - 2;
            bin->pivot -= two->pivot * two->after * two->after;
            bin->residual -= two->after * two->residual;
        }
        bin->next = next / bin->pivot;
        bin->after = after / bin->pivot;
    }
    for (ptrdiff_t j = count - 1; j >= 0; --j) {
        Bin *bin = &bins[j];
        bin->residual /= bin->pivot;
        bin->residual -= j + 1 < count ? bin->next * bins[j + 1].residual : 0.0;
        bin->residual -= j + 2 < count ? bin->after * bins[j + 2].residual : 0.0;
        bin->value += bin->residual;
    }
}

/* From the sums to the mean field. */
static void measure(const FusionTuning *tuning, Bin *bins, ptrdiff_t count)
{
    for (ptrdiff_t j = 0; j < count; ++j) {
        Bin *bin = &bins[j];
        bin->weight = bin->count * tuning->period;
        if (bin->count > 0.0) {
            double x = bin->field[0] / bin->count, y = bin->field[1] / bin->count;
            bin->level = root(x * x + y * y);
            bin->up = bin->field[2] / bin->count;
            bin->north = arctangent(x, y);
        }
    }
}

/* A first course of the heading: a filter that knows only the past. It counts whole turns. */
static void track(const FusionTuning *tuning, double seconds, Bin *bins, ptrdiff_t count)
{
    double heading = 0.0, share = 1.0, least = seconds / (tuning->heading_tau + seconds);
    for (ptrdiff_t j = 0; j < count; ++j) {
        if (bins[j].count > 0.0) {
            heading += share * whole_turns_off(bins[j].north - heading);
            share = share / (share + 1.0);
            share = share > least ? share : least;
        }
        bins[j].heading = heading;
    }
}

/* What norm and dip should be: a slow average of what is trusted. */
static void expect(const SmoothingTuning *smoothing, Bin *bins, ptrdiff_t count)
{
    const Prices prices = {smoothing->reference, 0.0, smoothing->reference};
    for (int i = 0; i < 2; ++i) {
        for (ptrdiff_t j = 0; j < count; ++j) {
            bins[j].value = bins[j].expected[i];
            bins[j].target = i == 0 ? bins[j].level : bins[j].up;
        }
        fit(&prices, bins, count);
        for (ptrdiff_t j = 0; j < count; ++j)
            bins[j].expected[i] = bins[j].value;
    }
}

/* How far each bin can be trusted. */
static void weigh(const FusionTuning *tuning, const SmoothingTuning *smoothing, Bin *bins, ptrdiff_t count, int headed)
{
    double doubt_squared = smoothing->doubt * smoothing->doubt;
    for (ptrdiff_t j = 0; j < count; ++j) {
        Bin *bin = &bins[j];
        const double *expected = bin->expected;
        double level = bin->level - expected[0], up = bin->up - expected[1];
        double across = headed ? expected[0] * whole_turns_off(bin->north - bin->heading) : 0.0;
        double size = expected[0] * expected[0] + expected[1] * expected[1] + 1e-300;
        double residual = (level * level + up * up + across * across) / size;
        bin->weight = bin->count * tuning->period / (1.0 + residual / doubt_squared);
    }
}

static void follow_north(const SmoothingTuning *smoothing, Bin *bins, ptrdiff_t count)
{
    const Prices prices = {smoothing->slope, smoothing->curve, smoothing->jump};
    for (ptrdiff_t j = 0; j < count; ++j) {
        bins[j].value = bins[j].heading;
        bins[j].target = bins[j].heading + whole_turns_off(bins[j].north - bins[j].heading);
    }
    fit(&prices, bins, count);
    for (ptrdiff_t j = 0; j < count; ++j)
        bins[j].heading = bins[j].value;
}

/* Which bins a field that is not the expected one disturbs; without a measurement it stays as it was. */
static void judge(const FusionTuning *tuning, Bin *bins, ptrdiff_t count)
{
    double disturbed = 1.0;
    for (ptrdiff_t j = 0; j < count; ++j) {
        Bin *bin = &bins[j];
        const double field[2] = {root(bin->level * bin->level + bin->up * bin->up), -arctangent(bin->up, bin->level)};
        const double *e = bin->expected;
        const double expected[2] = {root(e[0] * e[0] + e[1] * e[1]), -arctangent(e[1], e[0])};
        if (bin->count > 0.0)
            disturbed = alike(tuning, field, expected) ? 0.0 : 1.0;
        bin->disturbed = disturbed;
    }
}

/* Row by row: the heading is a straight line from the middle of a bin to the middle of the next. */
static void turn(const SmoothingTuning *smoothing, const SmoothingStream *stream, const Bin *bins, ptrdiff_t count)
{
    for (ptrdiff_t row = 0; row < stream->rows; ++row) {
        ptrdiff_t here = row / smoothing->bin;
        double place = ((double)(row - here * smoothing->bin) + 0.5) / (double)smoothing->bin - 0.5;
        ptrdiff_t other = here + (place < 0.0 ? -1 : 1);
        other = other < 0 || other >= count ? here : other;
        double heading = bins[here].heading + fabs(place) * (bins[other].heading - bins[here].heading);
        double delta = whole_turns_off(heading), half = 0.5 * delta, cosine, sine_by_angle;
        double *quat = stream->quat + 4 * row, *inertial = stream->inertial + 4 * row;
        for (int i = 0; i < 4; ++i)
            inertial[i] = quat[i];
        quarter_circle(half * half, &cosine, &sine_by_angle);
        multiply_upright(cosine, half * sine_by_angle, inertial, quat);
        stream->delta[row] = delta;
        stream->disturbed[row] = bins[here].disturbed > 0.0;
    }
}

void smoothing_find_north(const FusionTuning *tuning, const SmoothingTuning *smoothing, const SmoothingStream *stream)
{
    Bin *bins = (Bin *)stream->bins;
    ptrdiff_t count = (stream->rows + smoothing->bin - 1) / smoothing->bin;
    for (ptrdiff_t j = 0; j < count; ++j)
        bins[j].whole = 1.0;
    for (ptrdiff_t row = 0; row < stream->rows; ++row)
        if (stream->flags[row] & SMOOTHING_GAP)
            bins[row / smoothing->bin].whole = 0.0;
    measure(tuning, bins, count);
    track(tuning, (double)smoothing->bin * tuning->period, bins, count);
    for (int round = 0; round < ROUNDS; ++round) {
        expect(smoothing, bins, count);
        weigh(tuning, smoothing, bins, count, round > 0);
        follow_north(smoothing, bins, count);
    }
    judge(tuning, bins, count);
    turn(smoothing, stream, bins, count);
}
