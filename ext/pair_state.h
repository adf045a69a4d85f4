/* What the pair filter remembers, its settings, and the one update that all its measurements go through. */
#ifndef IMUPOSTURE_PAIR_STATE_H
#define IMUPOSTURE_PAIR_STATE_H

#include <string.h>
#include "spatial.h"

/* The states: heading, bias of the upper and of the lower gyroscope, coupling in forward bends, in side bends and in gait,
 * what the magnetic headings are off by (iron near the sensors; the field of the place), the azimuths of hinges' axes, and
 * the twist by which the present neutral stance, and those before it together, differ from the mean of all. */
enum { DELTA, BIAS_UPPER, BIAS_LOWER = 4, COUPLING_FORWARD = 7, COUPLING_SIDE, COUPLING_GAIT, MAGNETIC, HINGE };
#define HINGES 2           /* planes whose axes are remembered */
enum { STANCE = HINGE + HINGES, STANCES, STATES };
#define HINGE_SAME 0.6     /* rad: an axis this near is that of the plane */
#define HINGE_OTHER 0.8    /* rad: and this far that of another */
enum { UPPER, LOWER };
#define GAIT_SLOW_S 0.32 /* s: slower accelerations are errors of the inclination */
#define STRIDE_ACC 0.8 /* m/s2, rms up and down */
#define STANDARD_GRAVITY 9.80665
#define STANCES_APART_S 2.0 /* s without one, and the next is another stance */
#define HINGE_ANYWHERE 1e4 /* rad^2: an axis that nobody has seen */
#define TRIFLE 1e-12 /* rad^2: keeps what is certain from being singular */
#define LIMIT_STEPS 40.0 /* steps that count as one look at the limit: 20 s */
enum { HEADING_UNKNOWN, HEADING_RESET, HEADING_HELD, HEADING_LEARNT, HEADING_DRIFTING };

typedef struct {
    double period;             /* s between rows */
    double step_rows;          /* rows a step */
    double initial_sd;         /* rad: first guess that the wearer does not twist */
    double bias_sd;            /* rad/s */
    double bias_walk;          /* rad/s per root second */
    double delta_walk;         /* rad per root second: scale errors, inclination errors */
    double stance_sd;          /* rad a step: sway in the neutral stance */
    double hold_tilt;          /* rad: a hold ends when a sensor leaves its inclination by this much */
    double hold_turn;          /* rad: or has turned by this much beyond its bias */
    double hold_twist;         /* rad: or the two against each other */
    double hold_tilt_sd;       /* rad over a hold: drift of the inclination error */
    double hold_common_sd;     /* rad over a hold: turn of the whole body */
    double hold_relative_sd;   /* rad over a hold: turn of one segment on the other */
    double hold_lean;          /* 1: and this share of the way that the two inclinations went meanwhile */
    double hold_sway_sd;       /* rad: sway of each sensor about the pose, half a second apart */
    double hold_shortest;      /* s */
    double hold_longest;       /* s */
    double bend_rate;          /* rad/s: levelled rate of both that counts as a bend */
    double bend_coherence;     /* 0..1 */
    double bend_sd;            /* rad an episode: off-plane share of single bends */
    double bend_longest;       /* s an episode */
    double coupling_sd;        /* rad: this person's own coupling angles */
    double coupling_walk;      /* rad per root second */
    double gait_acc;           /* m/s2: rms of the vertical acceleration that counts as gait, and half of it level */
    double gait_coherence;     /* 0..1 */
    double gait_seconds;       /* s an episode */
    double gait_sd;            /* rad an episode */
    double gait_coupling_sd;   /* rad: between the directions in which this person's two segments are pushed */
    double gait_walk;          /* rad per root second */
    double limit;              /* rad of axial rotation */
    double limit_sd;           /* rad */
    double magnetic_sd;        /* rad a step */
    double magnetic_offset_sd; /* rad: iron near the sensors */
    double magnetic_walk;      /* rad per root second: the field changes from place to place */
    double gap_rate;           /* rad/s: what the wearer may twist while rows are missing */
    double gap_most;           /* rad */
    double hinge_rate;         /* rad/s: levelled rate of the one that turns */
    double hinge_still;        /* 0..1: share of it that the other may turn */
    double hinge_coherence;    /* 0..1: how alike the axes of one episode are */
    double hinge_sd;           /* rad an episode */
    double hinge_walk;         /* rad per root second: of a plane's axis */
    double hinge_unsure;       /* rad: heading and axis may be unsure of each other by this much */
    double motion_bias_sd;     /* rad/s a step: bias that an orientation filter has learnt in motion */
    double rest_bias_sd;       /* rad/s a step: and at rest */
    double slew;               /* s: corrections reach the rows with this time constant, without jumps */
    double facing_sd;          /* rad: what the two mountings' facings may differ, which looks like coupling */
    double neutral_sd;         /* rad: how well the wearer returns to the neutral stance */
    double stances;            /* how many there are */
    double stance_bias;        /* 1: the stance has told the biases */
} pair_settings;

/* A pose that is being kept: how long, the vertical of each sensor at its beginning and now, the angle each turned by
 * its gyroscope, its turn about the vertical beyond the bias, and the sums of straight lines: through the angles that
 * only a bias explains, and through the inclination, which shows how still the wearer is. */
typedef struct {
    double steps, seconds, began[2][3], now[2][3], angle[2][3], turned[2], sum[2][3], moment[2][3], lean_sum[2][3], lean_moment[2][3];
} pair_hold;

/* What a smoother has to know of a step: the state before and after its measurements, the covariance after them, and how
 * the state came here from the step before: delta += drift . x, noise on the diagonal; with so many stances still to come,
 * if a stance began; anew after a gap. */
typedef struct {
    double predicted[STATES], x[STATES], p[STATES][STATES], drift[STATES], noise[STATES], stance, anew;
} pair_step;

typedef struct {
    double x[STATES], p[STATES][STATES];
    double started, zeroed, rows, missing; /* zeroed: a stance was seen */
    double twist_re, twist_im;            /* last known axial heading difference as a complex number of length one */
    double stood;                         /* stances so far */
    double quiet;                         /* steps in a row in which neither turned */
    double correction;                    /* rad still to be handed to the rows */
    double since_stance, since_hold, since_bend; /* s */
    /* sums over a step: vertical, rate and twist; levelled rates of both as complex numbers */
    double up[2][3], gyr[2][3], twist_cos, twist_sin, stance_rows;
    double cross_re, cross_im, power[2], forward, side, magnetic_cos, magnetic_sin;
    /* the same of the levelled accelerations, less their slow part, and the vertical ones */
    double slow[2][3], push_re, push_im, pushed[2], heaved[2];
    pair_hold hold, earlier, earliest; /* the hold that is open, as it is now and was one and two steps ago */
    double settling;                   /* steps until the next hold may begin */
    /* the bend that is open */
    double bend_s, bend_re, bend_im, bend_power[2], bend_forward, bend_side;
    double gait_s, gait_re, gait_im, gait_power[2]; /* the stretch of gait that is open */
    pair_step step;                                  /* the last one that was complete, for the smoother */
    /* the hinge: sums over a step of squared relative rates by who turns, all turning of each; the episode; known axes */
    double line_re[2], line_im[2], line_power[2], spin[2], learnt[2][3], rested[2];
    double hinge_s, hinge_re, hinge_im, hinge_power, hinge_who, hinge_known[HINGES];
} pair_filter;

static inline double pf_square(double x) { return x * x; }

static void pf_start(pair_filter *f, const pair_settings *c, const double bias[6]) {
    memset(f, 0, sizeof *f);
    memcpy(f->x + BIAS_UPPER, bias, 6 * sizeof(double));
    f->since_stance = f->since_hold = f->since_bend = 1e9;
    f->p[DELTA][DELTA] = pf_square(c->initial_sd);
    for (int i = BIAS_UPPER; i < COUPLING_FORWARD; i++) f->p[i][i] = pf_square(c->bias_sd);
    /* the bends that the facings were made of will be measured once more: they count half each time */
    double shared = 2.0 * pf_square(c->facing_sd), own = pf_square(c->coupling_sd);
    f->p[COUPLING_FORWARD][COUPLING_FORWARD] = f->p[COUPLING_SIDE][COUPLING_SIDE] = shared + own;
    f->p[COUPLING_FORWARD][COUPLING_SIDE] = f->p[COUPLING_SIDE][COUPLING_FORWARD] = shared;
    f->p[COUPLING_GAIT][COUPLING_GAIT] = pf_square(c->gait_coupling_sd);
    f->p[MAGNETIC][MAGNETIC] = pf_square(c->magnetic_offset_sd);
    for (int k = HINGE; k < STATES; k++) f->p[k][k] = TRIFLE;
}

/* What the beginning of a stance does to the states, if `left` are to come: see pf_begin_stance. */
static inline void pf_carry_stances(double x[STATES], double left) {
    x[STANCES] += x[STANCE];
    x[STANCE] = -x[STANCES] / left;
}

/* One scalar measurement: innovation with direction h; beyond two of its own sds its weight falls (Huber 1964). */
static void pf_update(pair_filter *f, const double h[STATES], double innovation, double variance, int robust) {
    double ph[STATES], spread = 0.0, gain;
    for (int i = 0; i < STATES; i++) {
        ph[i] = 0.0;
        for (int k = 0; k < STATES; k++) ph[i] += f->p[i][k] * h[k];
    }
    for (int i = 0; i < STATES; i++) spread += h[i] * ph[i];
    double excess = innovation * innovation / (4.0 * (spread + variance));
    if (robust && excess > 1.0) variance = (spread + variance) * excess - spread;
    for (int i = 0; i < STATES; i++) {
        gain = ph[i] / (spread + variance);
        f->x[i] += gain * innovation;
        if (i == DELTA) f->correction -= gain * innovation;
        for (int k = 0; k < STATES; k++) f->p[i][k] -= gain * ph[k];
    }
    for (int i = 0; i < STATES; i++)
        for (int k = 0; k < i; k++) f->p[i][k] = f->p[k][i] = 0.5 * (f->p[i][k] + f->p[k][i]);
}

#endif
