/* 2 streams side by side once more, as AVX instructions: they say where a result goes, which saves most copies. See
 * fusion_avx2.c about the target. */
#include "fusion.h"

#if defined(__GNUC__) && defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#define LANES 2
#include "fusion_run.h"

const FusionKernel fusion_avx2_pair = run;

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
const FusionKernel fusion_avx2_pair = NULL;
#endif
