/* Two streams side by side in the vectors that every x86-64 and arm64 processor has. */
#include "fusion.h"

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))
#define LANES 2
#include "fusion_run.h"

const FusionKernel fusion_sse2 = run;
#else
const FusionKernel fusion_sse2 = NULL;
#endif
