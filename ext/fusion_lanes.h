/* The lane type: one double, or a vector of LANES doubles (GCC and Clang), with the few operations that are not
 * plain arithmetic. A C file defines LANES, 1, 2, 4 or 8, before it includes the step.
 *
 * A comparison gives a Mask: int 0 or 1 for a scalar, a vector of 0 and -1 otherwise. `&` and `|` work on both, so
 * the step uses nothing else. */
#ifndef IMUPOSTURE_FUSION_LANES_H
#define IMUPOSTURE_FUSION_LANES_H

#include <math.h>
#include <stdint.h>

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline, unused))
#else
#define INLINE static __inline
#endif

#if LANES == 1

typedef double Lane;
typedef int Mask;

INLINE Lane fill(double a) { return a; }
INLINE Lane magnitude(Lane a) { return fabs(a); }
INLINE Lane root(Lane a) { return sqrt(a); }
INLINE Lane choose(Mask mask, Lane a, Lane b) { return mask ? a : b; }
INLINE Lane lesser(Lane a, Lane b) { return a < b ? a : b; } /* b where one is NaN, as the vectors do */
INLINE Lane greater(Lane a, Lane b) { return a > b ? a : b; }
INLINE int any(Mask mask) { return mask; }
INLINE int all(Mask mask) { return mask; }

#else

typedef double Lane __attribute__((vector_size(8 * LANES)));
typedef int64_t Mask __attribute__((vector_size(8 * LANES)));

/* the same number in every lane */
INLINE Lane fill(double a)
{
    Lane all = {0};
    for (int lane = 0; lane < LANES; ++lane)
        all[lane] = a;
    return all;
}

INLINE Lane magnitude(Lane a) { return (Lane)((Mask)a & INT64_MAX); }

/* x86 has single instructions for roots and tests of all lanes; the portable form gives the same bits. */
#if defined(__x86_64__) && LANES == 2
#include <immintrin.h>
INLINE Lane root(Lane a) { return _mm_sqrt_pd(a); }
INLINE Lane lesser(Lane a, Lane b) { return _mm_min_pd(a, b); }
INLINE Lane greater(Lane a, Lane b) { return _mm_max_pd(a, b); }
INLINE int any(Mask mask) { return _mm_movemask_pd((Lane)mask) != 0; }
INLINE int all(Mask mask) { return _mm_movemask_pd((Lane)mask) == 3; }
#elif defined(__x86_64__) && LANES == 4
#include <immintrin.h>
INLINE Lane root(Lane a) { return _mm256_sqrt_pd(a); }
INLINE Lane lesser(Lane a, Lane b) { return _mm256_min_pd(a, b); }
INLINE Lane greater(Lane a, Lane b) { return _mm256_max_pd(a, b); }
INLINE int any(Mask mask) { return _mm256_movemask_pd((Lane)mask) != 0; }
INLINE int all(Mask mask) { return _mm256_movemask_pd((Lane)mask) == 15; }
#elif defined(__x86_64__) && LANES == 8
#include <immintrin.h>
INLINE Lane root(Lane a) { return _mm512_sqrt_pd(a); }
INLINE Lane lesser(Lane a, Lane b) { return _mm512_min_pd(a, b); }
INLINE Lane greater(Lane a, Lane b) { return _mm512_max_pd(a, b); }
INLINE int any(Mask mask) { return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask) != 0; }
INLINE int all(Mask mask) { return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask) == 255; }
#else
INLINE Lane root(Lane a)
{
    for (int lane = 0; lane < LANES; ++lane)
        a[lane] = sqrt(a[lane]);
    return a;
}

INLINE Lane lesser(Lane a, Lane b)
{
    for (int lane = 0; lane < LANES; ++lane)
        a[lane] = a[lane] < b[lane] ? a[lane] : b[lane];
    return a;
}

INLINE Lane greater(Lane a, Lane b)
{
    for (int lane = 0; lane < LANES; ++lane)
        a[lane] = a[lane] > b[lane] ? a[lane] : b[lane];
    return a;
}

INLINE int any(Mask mask)
{
    int64_t set = 0;
    for (int lane = 0; lane < LANES; ++lane)
        set |= mask[lane];
    return set != 0;
}

INLINE int all(Mask mask)
{
    int64_t set = -1;
    for (int lane = 0; lane < LANES; ++lane)
        set &= mask[lane];
    return set != 0;
}
#endif

/* a where the mask is set, b elsewhere */
INLINE Lane choose(Mask mask, Lane a, Lane b) { return (Lane)((mask & (Mask)a) | (~mask & (Mask)b)); }

#endif
#endif
