/* Two orientations to the angles of a row, what its parts share: the columns, how sure the parts are, the kernels.
 *
 * Rows do not depend on one another, so the compiler may take several at once; all kernels do the same arithmetic in
 * the same order, and give the same bits. */
#ifndef IMUPOSTURE_KINEMATICS_H
#define IMUPOSTURE_KINEMATICS_H

#include <stddef.h>

/* Rows of the table of angles: the order of PostureBlock. */
enum {
    FLEXION, LATERAL, ROTATION, FLEXION_SD, LATERAL_SD, ROTATION_SD,
    UPPER_FORWARD, UPPER_SIDE, LOWER_FORWARD, LOWER_SIDE,
    UPPER_FORWARD_SD, UPPER_SIDE_SD, LOWER_FORWARD_SD, LOWER_SIDE_SD,
    TRUNK,
    COLUMNS
};

/* How sure the parts are that the angles are made of, rad: inclination of each sensor, facing of each sensor (its
 * mounting's turn about the vertical; in the upper one's, `shared` times the lower one's error is contained), movement
 * of the skin on the spine at a radian of posture. */
typedef struct {
    double tilt, upper_facing, lower_facing, shared, tissue;
} Spread;

/* The rows of both sensors, and where their angles go: angles[column * rows + row]. */
typedef struct {
    const double *upper, *lower;    /* (rows, 4), segment -> earth, w-first */
    const double *delta, *delta_sd; /* (rows,), rad, relative heading */
    double *angles;
    ptrdiff_t rows;
} Postures;

typedef void (*KinematicsKernel)(const Postures *postures, const Spread *spread);

/* The second is NULL where the compiler or the architecture lacks it. */
extern const KinematicsKernel kinematics_baseline, kinematics_avx2;

/* The kernel for this processor; the plain one where `wide` is 0. */
KinematicsKernel kinematics_kernel(int wide);

#endif
