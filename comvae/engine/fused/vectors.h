/* Vectors of LANES numbers, and what the kernels do with them. */

#ifndef COMVAE_VECTORS_H
#define COMVAE_VECTORS_H

#include <stdint.h>
#include <string.h>

/* Each build says by LANES how many numbers its processors' widest register holds. */
typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t Integers __attribute__((vector_size(LANES * sizeof(int32_t))));

#define INLINE static inline __attribute__((always_inline))

/* A loop of few turns, known to the compiler: what it indexes stays in registers. */
#define EACH(i, count) _Pragma("GCC unroll 8") for (int i = 0; i < count; i++)

/* Whether subnormal numbers are flushed is a thread's own affair: the threads of a loop
   take it over from the one that calls, so that no bit depends on how many there are. */
INLINE unsigned float_mode(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_stmxcsr();
#else
    return 0;
#endif
}

INLINE void take_over(unsigned mode)
{
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(mode);
#else
    (void)mode;
#endif
}

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* `lanes` numbers, and zeros */
INLINE Vector load(const float *from, int lanes)
{
    Vector x = {0};
    memcpy(&x, from, lanes * sizeof(float));
    return x;
}

INLINE void store(float *to, Vector x, int lanes) { memcpy(to, &x, lanes * sizeof(float)); }

INLINE Vector all(float x) { return x - (Vector){0}; }

INLINE Vector select(Integers where, Vector yes, Vector no)
{
    return (Vector)((where & (Integers)yes) | (~where & (Integers)no));
}

INLINE Vector magnitude(Vector x) { return (Vector)((Integers)x & 0x7fffffff); }

/* x, or 0 where it is negative */
INLINE Vector positive(Vector x) { return 0.5f * (x + magnitude(x)); }

/* exp(-x) to 2 ulp, for x from 0 to 87: no result or reciprocal of it is subnormal */
INLINE Vector decay(Vector x)
{
    x = -select(x < 87.0f, x, all(87.0f));
    Vector n = x * 1.44269504f + 12582912.0f; /* rounds: no fraction fits beside 2^23 */
    n -= 12582912.0f;
    const Vector r = x - n * 0.693359375f + n * 2.12194440e-4f; /* log 2 in two parts */
    /* in pairs, not in one chain: fewer steps to wait for */
    const Vector z = r * r;
    const Vector p = (1.9875691500e-4f * r + 1.3981999507e-3f) * (z * z) +
                     ((8.3334519073e-3f * r + 4.1665795894e-2f) * z +
                      (1.6666665459e-1f * r + 5.0000001201e-1f));
    const Integers power = (__builtin_convertvector(n, Integers) + 127) << 23;
    return (p * z + (r + 1.0f)) * (Vector)power;
}

/* x = mantissa 2^exponent of positive normal numbers, mantissas from sqrt(1/2) to
   sqrt(2) */
INLINE Vector mantissa_of(Vector x, Integers *exponent)
{
    *exponent = ((Integers)x - 0x3f3504f3) >> 23;
    return (Vector)((Integers)x - (*exponent << 23));
}

/* log(x) of positive normal numbers to 2 ulp */
INLINE Vector log_of(Vector x)
{
    Integers exponent;
    const Vector r = mantissa_of(x, &exponent) - 1.0f, z = r * r, z2 = z * z;
    const Vector n = __builtin_convertvector(exponent, Vector);
    const Vector low = (2.0000714765e-1f * r - 2.4999993993e-1f) * r + 3.3333331174e-1f;
    const Vector high = (7.0376836292e-2f * r - 1.1514610310e-1f) * z2 +
                        ((1.1676998740e-1f * r - 1.2420140846e-1f) * z +
                         (1.4249322787e-1f * r - 1.6668057665e-1f));
    const Vector p = (high * (z * r) + low) * (z * r) - n * 2.12194440e-4f - 0.5f * z;
    return r + p + n * 0.693359375f;
}

/* log(1 + exp(x)), where `decayed` is exp(-|x|); the digits of a small one, which 1 +
   exp(x) rounds off, are kept */
INLINE Vector softplus_of(Vector x, Vector decayed)
{
    const Vector u = 1.0f + decayed;
    return positive(x) + log_of(u) + (decayed - (u - 1.0f));
}

/* The sum of each of LANES rows of LANES numbers */
INLINE Vector sum_rows(const Vector *rows)
{
    float sums[LANES * LANES];
    memcpy(sums, rows, sizeof sums);
    for (int width = LANES / 2; width; width /= 2) {
#pragma omp simd
        for (int n = 0; n < LANES * width; n++)
            sums[n] = sums[2 * n] + sums[2 * n + 1];
    }
    return load(sums, LANES);
}

#endif
