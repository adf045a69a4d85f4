/* The kernel that every processor runs, and the choice between the kernels. */
#include "kinematics_rows.h"

const KinematicsKernel kinematics_baseline = run;

KinematicsKernel kinematics_kernel(int wide) {
#if defined(__GNUC__) && defined(__x86_64__)
    __builtin_cpu_init();
    if (wide && kinematics_avx2 != NULL && __builtin_cpu_supports("avx2"))
        return kinematics_avx2;
#endif
    return kinematics_baseline;
}
