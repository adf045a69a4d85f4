/* Four rows at once: AVX2. The target is named here, as in fusion_avx2.c, and "fma" is left out for the same reason. */
#include "kinematics.h"

#if defined(__GNUC__) && defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#include "kinematics_rows.h"

const KinematicsKernel kinematics_avx2 = run;

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
const KinematicsKernel kinematics_avx2 = NULL;
#endif
