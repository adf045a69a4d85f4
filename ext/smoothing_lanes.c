/* Orientation against gravity from a known bias: backwards through a recording, and forwards again. Streams lie side by
 * side in the vectors that every x86-64 and arm64 processor has; the passes are short, wider ones would gain little. */
#include "smoothing.h"

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))
#define LANES 2
#else
#define LANES 1
#endif
#include "fusion_run.h"

#include <string.h>

/* What the way back remembers. */
typedef struct {
    Lane turn[4]; /* S -> I, where I is S at the end of the run */
    Section gravity[3];
    Lane rows;                /* averaged so far by a low-pass that has not settled */
    Lane held[3];             /* the last output of the low-pass; zero before the first */
    Lane gyr[3], acc[3];      /* the row behind, in time */
} Backwards;

/* What the way forth remembers. */
typedef struct {
    Lane level[4]; /* I -> E */
    Section gravity[3];
    Lane field[4]; /* sum of the field in E and number of its rows in this bin */
    Lane last[4];  /* S -> E of the last row; nothing has turned before the first */
} Forwards;

enum { WAY_DOUBLES = 24 };
typedef char backwards_fits[sizeof(Backwards) <= WAY_DOUBLES * sizeof(Lane) ? 1 : -1];
typedef char forwards_fits[sizeof(Forwards) <= WAY_DOUBLES * sizeof(Lane) ? 1 : -1];

/* A stream on its way, piece by piece; a piece lies within a bin and a run without gaps. */
typedef struct {
    const SmoothingStream *stream;
    double state[WAY_DOUBLES];
    double fresh; /* 1: these rows begin a run */
    double from[3], slope[3], at; /* bias: from + slope (at + 1/2) in row `at` of the knot interval */
    ptrdiff_t row, left; /* where it stands, and how many rows of the piece are left */
} Way;

/* The lanes' pieces as the loops read them. */
typedef struct {
    const double *gyr[LANES], *acc[LANES], *mag[LANES];
    double *quat[LANES], *bias[LANES];
    Lane from[3], slope[3], at, fresh;
} Pieces;

INLINE void gather_pieces(Way *const *ways, Pieces *pieces)
{
    const double *from[LANES], *slope[LANES], *at[LANES], *fresh[LANES];
    for (int lane = 0; lane < LANES; ++lane) {
        const SmoothingStream *stream = ways[lane]->stream;
        ptrdiff_t row = ways[lane]->row;
        pieces->gyr[lane] = stream->gyr + 3 * row;
        pieces->acc[lane] = stream->acc + 3 * row;
        pieces->mag[lane] = stream->mag ? stream->mag + 3 * row : NULL;
        pieces->quat[lane] = stream->quat + 4 * row;
        pieces->bias[lane] = stream->bias + 3 * row;
        from[lane] = ways[lane]->from, slope[lane] = ways[lane]->slope;
        at[lane] = &ways[lane]->at, fresh[lane] = &ways[lane]->fresh;
    }
    gather(from, 0, 3, pieces->from);
    gather(slope, 0, 3, pieces->slope);
    gather(at, 0, 1, &pieces->at);
    gather(fresh, 0, 1, &pieces->fresh);
}

INLINE void recall(Way *const *ways, Lane *state, int width)
{
    const double *from[LANES];
    for (int lane = 0; lane < LANES; ++lane)
        from[lane] = ways[lane]->state;
    gather(from, 0, width, state);
}

INLINE void remember(Way *const *ways, const Lane *state, int width)
{
    double *to[LANES];
    for (int lane = 0; lane < LANES; ++lane)
        to[lane] = ways[lane]->state;
    scatter(state, to, 0, width);
}

INLINE void bias_in_row(const Pieces *pieces, ptrdiff_t row, Lane bias[3])
{
    Lane middle = pieces->at + ((double)row + 0.5);
    for (int i = 0; i < 3; ++i)
        bias[i] = pieces->from[i] + pieces->slope[i] * middle;
}

/* The last row of a run has none behind it: it stands for that one too. */
INLINE void begin_backwards(Backwards *way, const Pieces *pieces, ptrdiff_t row)
{
    Lane gyr[3], acc[3];
    Mask fresh = pieces->fresh > fill(0.0);
    if (!any(fresh))
        return;
    gather(pieces->gyr, row, 3, gyr);
    gather(pieces->acc, row, 3, acc);
    for (int i = 0; i < 4; ++i)
        way->turn[i] = choose(fresh, fill(i == 0 ? 1.0 : 0.0), way->turn[i]);
    for (int i = 0; i < 3; ++i) {
        way->gravity[i].first = choose(fresh, fill(0.0), way->gravity[i].first);
        way->gravity[i].second = choose(fresh, fill(0.0), way->gravity[i].second);
        way->held[i] = choose(fresh, fill(0.0), way->held[i]);
        way->gyr[i] = choose(fresh, gyr[i], way->gyr[i]);
        way->acc[i] = choose(fresh, acc[i], way->acc[i]);
    }
    way->rows = choose(fresh, fill(0.0), way->rows);
}

/* The sensor is late, so what it measured now stands between this row and the one behind. */
INLINE void advance_measurement(Backwards *way, double lateness, Lane gyr[3], Lane acc[3])
{
    Mask both = (dot(acc, acc) > fill(0.0)) & (dot(way->acc, way->acc) > fill(0.0));
    for (int i = 0; i < 3; ++i) {
        Lane turning = gyr[i], pulling = acc[i];
        gyr[i] = turning + lateness * (way->gyr[i] - turning);
        acc[i] = choose(both, pulling + lateness * (way->acc[i] - pulling), pulling);
        way->gyr[i] = turning, way->acc[i] = pulling;
    }
}

/* Average gravity in I; a row of zeros is no measurement. */
INLINE void average(Backwards *way, const FusionTuning *tuning, const Lane acc[3])
{
    Mask there = dot(acc, acc) > fill(0.0);
    Section before[3] = {way->gravity[0], way->gravity[1], way->gravity[2]};
    Lane seen[3];
    for (int i = 0; i < 3; ++i)
        seen[i] = tuning->acc_low_pass.b0 * acc[i];
    rotate(way->turn, seen, seen);
    way->rows += choose(there, fill(1.0), fill(0.0));
    if (all(way->rows > fill(tuning->acc_low_pass.settle)))
        smooth(&tuning->acc_low_pass, way->gravity, seen, 3, way->rows, 1);
    else
        smooth(&tuning->acc_low_pass, way->gravity, seen, 3, greater(way->rows, fill(1.0)), 0);
    for (int i = 0; i < 3; ++i) {
        way->gravity[i].first = choose(there, way->gravity[i].first, before[i].first);
        way->gravity[i].second = choose(there, way->gravity[i].second, before[i].second);
        way->held[i] = choose(there, seen[i], way->held[i]);
    }
}

/* Undo the turn of this row. */
INLINE void turn_back(Backwards *way, const FusionTuning *tuning, const Lane rate[3])
{
    Lane half[3];
    for (int i = 0; i < 3; ++i)
        half[i] = -tuning->half_period * rate[i];
    renormalise(way->turn);
    turn_on(half, way->turn);
}

/* Rows count - 1 to 0: S -> I into quat, and gravity in I into bias, where it waits for the way forth. */
static void go_back(const FusionTuning *tuning, const SmoothingTuning *smoothing, Way *const *ways, ptrdiff_t count)
{
    Backwards way;
    Pieces pieces;
    gather_pieces(ways, &pieces);
    recall(ways, (Lane *)&way, sizeof way / sizeof(Lane));
    begin_backwards(&way, &pieces, count - 1);
    for (ptrdiff_t row = count - 1; row >= 0; --row) {
        Lane gyr[3], acc[3], bias[3];
        gather(pieces.gyr, row, 3, gyr);
        gather(pieces.acc, row, 3, acc);
        advance_measurement(&way, smoothing->lateness, gyr, acc);
        average(&way, tuning, acc);
        scatter(way.turn, pieces.quat, row, 4);
        scatter(way.held, pieces.bias, row, 3);
        bias_in_row(&pieces, row, bias);
        for (int i = 0; i < 3; ++i)
            gyr[i] -= bias[i];
        turn_back(&way, tuning, gyr);
    }
    remember(ways, (const Lane *)&way, sizeof way / sizeof(Lane));
}

/* A run begins where the last one ended, as far as the heading goes, and in the steady state of its first average. */
INLINE void begin_forwards(Forwards *way, const FusionTuning *tuning, const Pieces *pieces)
{
    Lane turn[4], gravity[3], level[4];
    Mask fresh = pieces->fresh > fill(0.0);
    if (!any(fresh))
        return;
    gather((const double *const *)pieces->quat, 0, 4, turn);
    gather((const double *const *)pieces->bias, 0, 3, gravity);
    for (int i = 1; i < 4; ++i)
        turn[i] = -turn[i];
    multiply(way->last, turn, level);
    for (int i = 0; i < 4; ++i)
        way->level[i] = choose(fresh, level[i], way->level[i]);
    const FusionLowPass *design = &tuning->acc_low_pass;
    for (int i = 0; i < 3; ++i) {
        Section *section = &way->gravity[i];
        section->first = choose(fresh, gravity[i] * (1.0 - design->b0), section->first);
        section->second = choose(fresh, gravity[i] * (design->b0 - design->a2), section->second);
    }
}

/* Turn I -> E by the shortest rotation that brings gravity upright, as the causal filter does (`incline`). */
INLINE void level_gravity(Forwards *way, const FusionTuning *tuning, Lane gravity[3])
{
    Lane up[3];
    Mask there = dot(gravity, gravity) > fill(0.0); /* else nothing was measured from here to the end of the run */
    Section before[3] = {way->gravity[0], way->gravity[1], way->gravity[2]};
    for (int i = 0; i < 3; ++i)
        gravity[i] *= tuning->acc_low_pass.b0;
    smooth(&tuning->acc_low_pass, way->gravity, gravity, 3, fill(0.0), 1);
    for (int i = 0; i < 3; ++i) {
        way->gravity[i].first = choose(there, way->gravity[i].first, before[i].first);
        way->gravity[i].second = choose(there, way->gravity[i].second, before[i].second);
    }
    rotate(way->level, gravity, up);
    Levelling turn = level_out(up);
    Lane w = choose(there, turn.w, fill(1.0));
    Lane x = choose(there, turn.x, fill(0.0)), y = choose(there, turn.y, fill(0.0));
    renormalise(way->level);
    multiply_level(w, x, y, way->level);
}

/* Add the field of a row to its bin. */
INLINE void add_field(Forwards *way, const Pieces *pieces, ptrdiff_t row)
{
    Lane mag[3], field[3];
    gather(pieces->mag, row, 3, mag);
    Lane squared = dot(mag, mag);
    Mask there = (squared > fill(0.0)) & (squared < fill(1e300)); /* NaN is neither */
    rotate(way->last, mag, field);
    for (int i = 0; i < 3; ++i)
        way->field[i] += choose(there, field[i], fill(0.0));
    way->field[3] += choose(there, fill(1.0), fill(0.0));
}

INLINE void all_forwards(Forwards *way, const FusionTuning *tuning, const Pieces *pieces, ptrdiff_t count, int magnetic)
{
    for (ptrdiff_t row = 0; row < count; ++row) {
        Lane turn[4], gravity[3], bias[3];
        gather((const double *const *)pieces->quat, row, 4, turn);
        gather((const double *const *)pieces->bias, row, 3, gravity);
        level_gravity(way, tuning, gravity);
        multiply(way->level, turn, way->last);
        scatter(way->last, pieces->quat, row, 4);
        bias_in_row(pieces, row, bias);
        scatter(bias, pieces->bias, row, 3);
        if (magnetic)
            add_field(way, pieces, row);
    }
}

static void go_forth(const FusionTuning *tuning, const SmoothingTuning *smoothing, Way *const *ways, ptrdiff_t count)
{
    (void)smoothing;
    Forwards way;
    Pieces pieces;
    gather_pieces(ways, &pieces);
    recall(ways, (Lane *)&way, sizeof way / sizeof(Lane));
    begin_forwards(&way, tuning, &pieces);
    if (ways[0]->stream->mag)
        all_forwards(&way, tuning, &pieces, count, 1);
    else
        all_forwards(&way, tuning, &pieces, count, 0);
    remember(ways, (const Lane *)&way, sizeof way / sizeof(Lane));
}

/* The bias is a straight line from knot to knot. */
static void find_bias(Way *way, ptrdiff_t knot)
{
    ptrdiff_t start = way->row / knot * knot, length = way->stream->rows - start;
    const double *line = way->stream->knots + 3 * (way->row / knot);
    length = length < knot ? length : knot;
    for (int i = 0; i < 3; ++i) {
        way->from[i] = line[i];
        way->slope[i] = (line[3 + i] - line[i]) / (double)length;
    }
    way->at = (double)(way->row - start);
}

static int is_gap(const Way *way, ptrdiff_t row) { return way->stream->flags[row] & SMOOTHING_GAP; }

/* Measure the rows before this one that are no gap and lie in one bin. */
static void next_back(Way *way, ptrdiff_t bin)
{
    way->fresh = way->row == way->stream->rows;
    for (; way->row > 0 && is_gap(way, way->row - 1); --way->row)
        way->fresh = 1.0;
    ptrdiff_t first = way->row;
    while (first > 0 && !is_gap(way, first - 1) && (first == way->row || first % bin != 0))
        --first;
    way->left = way->row - first;
}

/* Measure the rows from this one on that are no gap and lie in one bin. The sum of the field begins anew with a bin. */
static void next_forth(Way *way, ptrdiff_t bin)
{
    ptrdiff_t rows = way->stream->rows, done = way->row;
    double *field = way->state + offsetof(Forwards, field) / sizeof(Lane);
    way->fresh = way->row == 0;
    for (; way->row < rows && is_gap(way, way->row); ++way->row)
        way->fresh = 1.0;
    if (done == 0 || way->row / bin != (done - 1) / bin)
        field[0] = field[1] = field[2] = field[3] = 0.0;
    ptrdiff_t end = way->row;
    while (end < rows && !is_gap(way, end) && (end == way->row || end % bin != 0))
        ++end;
    way->left = end - way->row;
}

static void keep_field(const Way *way, ptrdiff_t bin)
{
    double *out = way->stream->bins + SMOOTHING_BIN_DOUBLES * ((way->row - 1) / bin);
    memcpy(out, way->state + offsetof(Forwards, field) / sizeof(Lane), 4 * sizeof(double));
}

/* One pass over up to LANES streams, until the last has no rows left. */
static void walk(const FusionTuning *tuning, const SmoothingTuning *smoothing, Way *ways, int count, int back)
{
    for (;;) {
        Way *active[LANES];
        int running = 0;
        for (int i = 0; i < count; ++i) {
            if (ways[i].left == 0)
                (back ? next_back : next_forth)(&ways[i], smoothing->bin);
            if (ways[i].left > 0)
                active[running++] = &ways[i];
        }
        if (running == 0)
            return;
        ptrdiff_t rows = active[0]->left;
        for (int i = 1; i < running; ++i)
            rows = active[i]->left < rows ? active[i]->left : rows;
        for (int i = 0; i < running; ++i) {
            active[i]->row -= back ? rows : 0;
            find_bias(active[i], smoothing->knot);
        }
        for (int i = running; i < LANES; ++i)
            active[i] = active[0]; /* an idle lane repeats the first */
        (back ? go_back : go_forth)(tuning, smoothing, active, rows);
        for (int i = 0; i < running; ++i) {
            active[i]->row += back ? 0 : rows;
            active[i]->left -= rows;
            active[i]->fresh = 0.0;
            if (!back && active[i]->stream->mag)
                keep_field(active[i], smoothing->bin);
        }
    }
}

void smoothing_level(const FusionTuning *tuning, const SmoothingTuning *smoothing, const SmoothingStream *streams,
                     int count)
{
    (void)run; /* the causal filter's loop, which comes with its gather and scatter */
    for (int first = 0; first < count; first += LANES) {
        Way ways[LANES];
        int lanes = count - first < LANES ? count - first : LANES;
        for (int back = 1; back >= 0; --back) {
            memset(ways, 0, sizeof ways);
            for (int i = 0; i < lanes; ++i) {
                ways[i].stream = &streams[first + i];
                ways[i].row = back ? streams[first + i].rows : 0;
                if (!back)
                    ways[i].state[offsetof(Forwards, last) / sizeof(Lane)] = 1.0; /* nothing has turned yet */
            }
            walk(tuning, smoothing, ways, lanes, back);
        }
    }
}
