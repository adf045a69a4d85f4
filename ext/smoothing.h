/* The smoother: what its parts share. It goes through a whole recording four times:
 *
 *   1  smoothing_bias.c   the causal filter runs forwards and, over reversed rows, backwards, side by side as lanes; only
 *                         bias and covariance at knots are kept, and combined
 *   2  smoothing_lanes.c  backwards: strapdown with that bias; gravity goes through its low-pass
 *   3  smoothing_lanes.c  forwards: gravity through the low-pass once more, so that it lags nowhere, and levelling;
 *                         with a magnetometer, the sum of the field in each bin
 *   4  smoothing_north.c  with a magnetometer: the heading, bin by bin, and from there row by row
 *
 * Averages end at gaps and begin anew behind them. */
#ifndef IMUPOSTURE_SMOOTHING_H
#define IMUPOSTURE_SMOOTHING_H

#include "fusion.h"

/* One recording of one sensor: rows, results, and room to work in. */
typedef struct {
    const double *gyr, *acc, *mag;        /* (rows, 3); mag is NULL without a magnetometer */
    const unsigned char *flags;           /* (rows,), bit 0 marks gaps */
    double *quat, *bias;                  /* (rows, 4), (rows, 3) */
    unsigned char *rest, *rest_backwards; /* (rows,), each in the order in which its filter ran */
    double *inertial, *delta;             /* (rows, 4), (rows,); only with a magnetometer, as the next two */
    unsigned char *disturbed;             /* (rows,) */
    double *bins;                         /* (bins, SMOOTHING_BIN_DOUBLES), zeros */
    double *learnt;                       /* (2, knots + 1, 9): bias and covariance, forwards and backwards */
    double *knots;                        /* (knots + 1, 3): bias before rows 0, knot, 2 knot ..., and at the end */
    double *room;                         /* (2, knot, SMOOTHING_ROOM_DOUBLES) */
    ptrdiff_t rows;
} SmoothingStream;

/* What is constant while the smoother runs; explained in imuposture/fusion/smoothing.py. */
typedef struct {
    ptrdiff_t bin, knot;       /* rows; a knot interval is a number of bins */
    double lateness;           /* rows, 0 to 1 */
    double slope, curve, jump; /* price of a slope and a curve of the heading, and of a jump at a gap */
    double reference;          /* price of a slope of the field's reference */
    double doubt;              /* share of the field; a residual like that halves the weight */
} SmoothingTuning;

enum { SMOOTHING_BIN_DOUBLES = 19, SMOOTHING_ROOM_DOUBLES = 13, SMOOTHING_GAP = 1 };

/* Up to FUSION_MAX_LANES / 2 streams side by side: rest and knots. */
void smoothing_learn_bias(const FusionTuning *tuning, const SmoothingTuning *smoothing, int level,
                          const SmoothingStream *streams, int count);

/* Any number of streams: quat, bias, and the sums of the bins. */
void smoothing_level(const FusionTuning *tuning, const SmoothingTuning *smoothing, const SmoothingStream *streams,
                     int count);

/* One stream with a magnetometer: quat turned north, inertial, delta, disturbed. */
void smoothing_find_north(const FusionTuning *tuning, const SmoothingTuning *smoothing, const SmoothingStream *stream);

#endif
