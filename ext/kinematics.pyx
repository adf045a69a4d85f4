"""Two orientations -> spinal angles and inclinations, how sure they are (compiled half of imuposture/kinematics.py).

No recursion here, but arctangents on the path of rows: they must have the same bits on every machine. The maths is in
C, ext/kinematics_rows.h, which is compiled once for every processor and once for those that take four rows at a time.
"""

cdef extern from "kinematics.h" nogil:
    ctypedef struct Spread:
        double tilt, upper_facing, lower_facing, shared, tissue

    ctypedef struct Postures:
        const double *upper
        const double *lower
        const double *delta
        const double *delta_sd
        double *angles
        Py_ssize_t rows

    ctypedef void (*KinematicsKernel)(const Postures *, const Spread *) noexcept nogil
    KinematicsKernel kinematics_kernel(bint wide)


def posture(
    const double[:, ::1] upper,
    const double[:, ::1] lower,
    const double[::1] delta,
    const double[::1] delta_sd,
    const double[::1] sds,
    double[:, ::1] angles,
    bint wide,
):
    """Fill ``angles`` (15, n), degrees, in the order of PostureBlock; NaN where a sensor has no row.

    upper, lower     (n, 4)  segment -> earth, w-first
    delta, delta_sd  (n,)    rad, relative heading; angles that need it are NaN where it is NaN
    sds              (5,)    rad, the members of `Spread`
    wide                     use the processor's wide registers, if it has any; it changes no bit
    """
    cdef Postures rows
    rows.rows = delta.shape[0]
    if rows.rows == 0:
        return
    rows.upper, rows.lower = &upper[0, 0], &lower[0, 0]
    rows.delta, rows.delta_sd, rows.angles = &delta[0], &delta_sd[0], &angles[0, 0]
    with nogil:
        kinematics_kernel(wide)(&rows, <const Spread *> &sds[0])
