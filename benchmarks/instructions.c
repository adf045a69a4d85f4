/* The compiled stages in a loop with nothing around it, to be counted by callgrind (benchmarks/instructions.py).
 *
 *     instructions CASE ROWS
 *
 * Everything but the work on the rows costs the same however many ROWS there are: memory, signals and settings are those
 * of MOST_ROWS. So the difference of two runs is the cost of the rows between them. Ends with 3 where this processor or
 * build cannot run the case, with 2 where there is no such case; without arguments it names the cases. */
#include "fusion.h"
#include "pair_filter.h"
#if defined(__has_include)
#if __has_include("kinematics.h")
#include "kinematics.h"
#define KINEMATICS
#endif
#endif

#include <stdio.h>
#include <stdlib.h>

#include "settings_for_instructions.h" /* made by instructions.py: PARAMETERS, PAIR_SETTINGS, SPREAD */

enum { MOST_ROWS = 8192, RATE = 100, STREAMS = FUSION_MAX_LANES, ABSENT = 3, UNKNOWN = 2 };

typedef struct {
    double gyr[3 * MOST_ROWS], acc[3 * MOST_ROWS], mag[3 * MOST_ROWS];
    double quat[4 * MOST_ROWS], inertial[4 * MOST_ROWS], bias[3 * MOST_ROWS], delta[MOST_ROWS];
    double state[FUSION_STATE_DOUBLES];
    unsigned char rest[MOST_ROWS], disturbed[MOST_ROWS];
} Signals;

static Signals signals[STREAMS];

/* -1 to 1 and back in `period` rows: motion without the mathematical library. */
static double swing(int row, int period)
{
    double share = (double)(row % period) / period;
    return share < 0.5 ? 4.0 * share - 1.0 : 3.0 - 4.0 * share;
}

/* Two minutes of which the first ten seconds and every third are at rest; noise from a linear congruence. */
static void move(Signals *s, int seed)
{
    unsigned noise = 12345u + (unsigned)seed;
    for (int row = 0; row < MOST_ROWS; ++row) {
        int still = row < 10 * RATE || row / (10 * RATE) % 3 == 0;
        for (int axis = 0; axis < 3; ++axis) {
            int at = 3 * row + axis;
            double much = swing(row, 170 + 60 * axis + 7 * seed);
            noise = noise * 1664525u + 1013904223u;
            double little = ((double)noise / 4294967296.0 - 0.5) * 0.01;
            s->gyr[at] = 0.004 + little + (still ? 0.0 : much);
            s->acc[at] = little + (axis == 2 ? 9.6 : 0.7) + (still ? 0.0 : 0.8 * much);
            s->mag[at] = 10.0 * little + (axis == 2 ? -44.0 : 20.0) + (still ? 0.0 : 3.0 * much);
        }
    }
}

/* As ext/fusion.pyx does for the rows of a block: several streams, one a lane. */
static int fuse(int level, int count, int magnetic, int rows)
{
    const FusionParameters parameters = PARAMETERS;
    FusionTuning tuning;
    FusionStream streams[STREAMS], *lanes[STREAMS];
    int width = 0;
    FusionKernel kernel = fusion_kernel(level, count, &width);
    if (!fusion_level_available(level) || width != count)
        return ABSENT;
    fusion_tune(&tuning, &parameters, RATE);
    for (int i = 0; i < STREAMS; ++i) {
        Signals *s = &signals[i];
        streams[i] = (FusionStream){
            .gyr = s->gyr, .acc = s->acc, .mag = magnetic ? s->mag : NULL, .state = s->state,
            .quat = s->quat, .bias = s->bias, .inertial = s->inertial, .delta = s->delta,
            .rest = s->rest, .disturbed = s->disturbed, .rows = MOST_ROWS, .run = MOST_ROWS,
        };
        lanes[i] = &streams[i];
        move(s, i);
        fusion_begin(&tuning, s->state);
    }
    kernel(&tuning, lanes, rows);
    return 0;
}

/* Orientations of both sensors for the stages behind the filter. */
static int oriented(void)
{
    return fuse(FUSION_BASELINE, 2, 0, MOST_ROWS);
}

static int relate(int rows)
{
    static pair_filter filter;
    const pair_settings settings = PAIR_SETTINGS;
    double bias[6] = {0};
    int failed = oriented();
    pf_start(&filter, &settings, bias);
    for (int row = 0; row < rows; ++row) {
        const double *quat[2], *gyr[2], *acc[2], *biases[2];
        const unsigned char rest[2] = {signals[0].rest[row], signals[1].rest[row]};
        for (int i = 0; i < 2; ++i) {
            quat[i] = signals[i].quat + 4 * row;
            gyr[i] = signals[i].gyr + 3 * row;
            acc[i] = signals[i].acc + 3 * row;
            biases[i] = signals[i].bias + 3 * row;
        }
        pf_row(&filter, &settings, quat, gyr, gyr, acc, biases, rest, NAN, row < 6 * RATE);
    }
    return failed;
}

#ifdef KINEMATICS
static int bend(KinematicsKernel kernel, int rows)
{
    static double angles[COLUMNS * MOST_ROWS], sd[MOST_ROWS];
    const Spread spread = SPREAD;
    Postures postures = {signals[0].quat, signals[1].quat, signals[2].delta, sd, angles, rows};
    return kernel == NULL || oriented() ? ABSENT : (kernel(&postures, &spread), 0);
}

static int bend_plain(int rows) { return bend(kinematics_kernel(0), rows); }

static int bend_wide(int rows)
{
    return fusion_level_available(FUSION_AVX2) ? bend(kinematics_avx2, rows) : ABSENT;
}
#endif

static int one(int rows) { return fuse(FUSION_BASELINE, 1, 0, rows); }
static int one_north(int rows) { return fuse(FUSION_BASELINE, 1, 1, rows); }
static int two(int rows) { return fuse(FUSION_BASELINE, 2, 0, rows); }
static int two_north(int rows) { return fuse(FUSION_BASELINE, 2, 1, rows); }
static int four(int rows) { return fuse(FUSION_AVX2, 4, 0, rows); }
static int four_north(int rows) { return fuse(FUSION_AVX2, 4, 1, rows); }

static const struct {
    const char *name;
    int samples; /* of one sensor, or rows of a pair, that a row of the loop is */
    int (*work)(int rows);
} cases[] = {
    {"fusion_1_scalar", 1, one},
    {"fusion_1_scalar_9axis", 1, one_north},
    {"fusion_2_sse2", 2, two},
    {"fusion_2_sse2_9axis", 2, two_north},
    {"fusion_4_avx2", 4, four},
    {"fusion_4_avx2_9axis", 4, four_north},
    {"heading_pair", 1, relate},
#ifdef KINEMATICS
    {"kinematics_pair", 1, bend_plain},
    {"kinematics_pair_avx2", 1, bend_wide},
#endif
};

int main(int count, char **arguments)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        if (count < 3)
            printf("%s %d\n", cases[i].name, cases[i].samples);
        else if (!strcmp(arguments[1], cases[i].name))
            return cases[i].work(atoi(arguments[2]));
    }
    return count < 3 ? 0 : UNKNOWN;
}
