/* Which kernels this build has and this processor can run. */
#include "fusion.h"

static const FusionKernel *const kernels[FUSION_LEVELS][4] = {
    [FUSION_BASELINE] = {&fusion_scalar, &fusion_sse2},
    [FUSION_AVX2] = {&fusion_scalar, &fusion_avx2_pair, &fusion_avx2},
    [FUSION_AVX512] = {&fusion_scalar, &fusion_avx2_pair, &fusion_avx2, &fusion_avx512},
};

int fusion_level_available(int level)
{
#if defined(__GNUC__) && defined(__x86_64__)
    __builtin_cpu_init();
    if (level == FUSION_AVX512)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx2");
    if (level == FUSION_AVX2)
        return __builtin_cpu_supports("avx2") != 0;
#endif
    return level == FUSION_BASELINE;
}

FusionKernel fusion_kernel(int level, int streams, int *lanes)
{
    FusionKernel widest = NULL;
    for (int width = 0; width < 4; ++width) {
        const FusionKernel *kernel = kernels[level][width];
        if (kernel == NULL || *kernel == NULL)
            continue;
        widest = *kernel;
        *lanes = 1 << width;
        if (*lanes >= streams)
            break;
    }
    return widest;
}
