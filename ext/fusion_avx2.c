/* 4 streams side by side: AVX2. The target is named here, not in the flags, so that the rest of the module runs on
 * processors without it; "fma" is left out, because a fused multiply-add rounds once where the others round twice. */
#include "fusion.h"

#if defined(__GNUC__) && defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#define LANES 4
#include "fusion_run.h"

const FusionKernel fusion_avx2 = run;

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#else
const FusionKernel fusion_avx2 = NULL;
#endif
