/* The bias of the gyroscope from all rows, those before and those behind: two runs of the causal filter, combined by
 * their information, as the offline variant of VQF does (Laidig and Seel 2023). */
#define LANES 1
#include "smoothing.h"
#include "fusion_step.h"

#include <string.h>

/* A filter on its way through a recording, in one direction, piece by piece; a piece ends at a knot or a gap. */
typedef struct {
    FusionStream piece; /* what the kernel sees; its results, but for rest, fall into the room */
    const SmoothingStream *stream;
    double state[FUSION_STATE_DOUBLES];
    ptrdiff_t done; /* rows */
    int backwards;
} Way;

/* How many rows of the recording lie before this point of the way. */
static ptrdiff_t before(const Way *way, ptrdiff_t done)
{
    return way->backwards ? way->stream->rows - done : done;
}

static int is_knot(const Way *way, ptrdiff_t done, ptrdiff_t knot)
{
    return before(way, done) % knot == 0 || before(way, done) == way->stream->rows;
}

static int is_gap(const Way *way, ptrdiff_t done)
{
    return way->stream->flags[before(way, done) - way->backwards] & SMOOTHING_GAP;
}

static ptrdiff_t knots_in(const SmoothingStream *stream, ptrdiff_t knot) { return (stream->rows + knot - 1) / knot; }

/* Note what the filter knows of the bias. Time turned round turns the rate, and so the bias. */
static void note(const Way *way, ptrdiff_t knot)
{
    const State *state = (const State *)way->state;
    ptrdiff_t place = (before(way, way->done) + knot - 1) / knot;
    double *out = way->stream->learnt + 9 * (place + (way->backwards ? knots_in(way->stream, knot) + 1 : 0));
    for (int i = 0; i < 3; ++i)
        out[i] = way->backwards ? -state->bias[i] : state->bias[i];
    memcpy(out + 3, state->variance, sizeof state->variance);
}

/* A reversed copy of the next rows of the way. The rate of a row turns from the row before to this one; on the way back
 * the turn to a row is that of the row behind it, which the last of a run has not. */
static void reverse(const Way *way, double *gyr, double *acc)
{
    const SmoothingStream *stream = way->stream;
    for (ptrdiff_t i = 0; i < way->piece.run; ++i) {
        ptrdiff_t row = before(way, way->done + i) - 1, behind = row + 1;
        if (behind == stream->rows || stream->flags[behind] & SMOOTHING_GAP)
            behind = row;
        for (int j = 0; j < 3; ++j) {
            gyr[3 * i + j] = -stream->gyr[3 * behind + j];
            acc[3 * i + j] = stream->acc[3 * row + j];
        }
    }
}

/* Tell the kernel where the next piece is and where its results go. */
static void lay_out(Way *way, ptrdiff_t knot)
{
    FusionStream *piece = &way->piece;
    const SmoothingStream *stream = way->stream;
    double *room = stream->room + (way->backwards ? SMOOTHING_ROOM_DOUBLES * knot : 0);
    piece->row = 0;
    piece->quat = room, piece->bias = room + 4 * knot;
    piece->gyr = stream->gyr + 3 * way->done, piece->acc = stream->acc + 3 * way->done;
    piece->rest = stream->rest + way->done;
    if (way->backwards) {
        double *gyr = room + 7 * knot, *acc = room + 10 * knot;
        reverse(way, gyr, acc);
        piece->gyr = gyr, piece->acc = acc;
        piece->rest = stream->rest_backwards + way->done;
    }
}

/* Go on to the next rows that are no gap; none are left if the piece stays empty. */
static void next_piece(Way *way, ptrdiff_t knot)
{
    ptrdiff_t rows = way->stream->rows;
    for (;; ++way->done) {
        if (is_knot(way, way->done, knot))
            note(way, knot);
        if (way->done == rows || !is_gap(way, way->done))
            break;
        fusion_restart(way->state);
    }
    ptrdiff_t end = way->done;
    while (end < rows && !is_gap(way, end) && (end == way->done || !is_knot(way, end, knot)))
        ++end;
    way->piece.run = end - way->done;
    if (way->piece.run > 0)
        lay_out(way, knot);
}

/* Both filters of all streams side by side, until the last has no rows left. */
static void walk(const FusionTuning *tuning, int level, Way *ways, int count, ptrdiff_t knot)
{
    for (;;) {
        FusionStream *active[FUSION_MAX_LANES];
        int running = 0, lanes;
        for (int i = 0; i < count; ++i) {
            if (ways[i].piece.run == 0)
                next_piece(&ways[i], knot);
            if (ways[i].piece.run > 0)
                active[running++] = &ways[i].piece;
        }
        if (running == 0)
            return;
        ptrdiff_t rows = active[0]->run;
        for (int i = 1; i < running; ++i)
            rows = active[i]->run < rows ? active[i]->run : rows;
        FusionKernel kernel = fusion_kernel(level, running, &lanes);
        for (int i = running; i < lanes; ++i)
            active[i] = active[0]; /* an idle lane repeats the first, bit for bit */
        kernel(tuning, active, rows);
        for (int i = 0; i < count; ++i)
            if (ways[i].piece.run > 0)
                ways[i].piece.row += rows, ways[i].piece.run -= rows, ways[i].done += rows;
    }
}

/* The mean of two estimates, weighted by what each knows: (A + B) b = A a + B b. Both started from a bias of about zero,
 * which so counts twice. Taking one of them out again, as the sum of informations would have it, was tried and is worse
 * where nothing shows the bias: there the filter's covariance is capped while its estimate stays, and what is left of
 * the weights would double that. */
static void combine(const FusionTuning *tuning, const double *forwards, const double *backwards, double bias[3])
{
    double a[6], b[6], sum[6], cofactor[6], pull_a[3], pull_b[3], pull[3];
    invert_symmetric(forwards + 3, a);
    invert_symmetric(backwards + 3, b);
    for (int i = 0; i < 6; ++i)
        sum[i] = a[i] + b[i];
    multiply_symmetric(a, forwards, pull_a);
    multiply_symmetric(b, backwards, pull_b);
    for (int i = 0; i < 3; ++i)
        pull[i] = pull_a[i] + pull_b[i];
    double determinant = cofactors(sum, cofactor);
    multiply_symmetric(cofactor, pull, bias);
    for (int i = 0; i < 3; ++i)
        bias[i] = clamp(bias[i] / determinant, tuning->bias_limit);
}

void smoothing_learn_bias(const FusionTuning *tuning, const SmoothingTuning *smoothing, int level,
                          const SmoothingStream *streams, int count)
{
    Way ways[FUSION_MAX_LANES];
    memset(ways, 0, sizeof ways);
    for (int i = 0; i < 2 * count; ++i) {
        ways[i].stream = &streams[i / 2];
        ways[i].backwards = i % 2;
        ways[i].piece.state = ways[i].state;
        fusion_begin(tuning, ways[i].state);
    }
    walk(tuning, level, ways, 2 * count, smoothing->knot);
    for (int i = 0; i < count; ++i) {
        ptrdiff_t knots = knots_in(&streams[i], smoothing->knot) + 1;
        for (ptrdiff_t k = 0; k < knots; ++k) {
            const double *learnt = streams[i].learnt + 9 * k;
            combine(tuning, learnt, learnt + 9 * knots, streams[i].knots + 3 * k);
        }
    }
}
