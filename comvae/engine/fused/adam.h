/* Adam (Kingma and Ba 2015), on vectors of weights. */

#ifndef COMVAE_ADAM_H
#define COMVAE_ADAM_H

#include "vectors.h"

/* One step's numbers, as `FusedAdam.step_numbers` gives them: the learning rate over the
   first moment's correction, the inverted root of the second's, and what the moments
   take of the old and of the new. native.py has the same fields. */
typedef struct {
    float rate, root, new_mean, keep_square, new_square, epsilon;
} Adam;

INLINE void adam(const Adam *a, Vector by, Vector *weight, Vector *mean, Vector *square)
{
    float roots[LANES];
    *mean += a->new_mean * (by - *mean);
    *square = a->keep_square * *square + a->new_square * by * by;
    store(roots, *square, LANES);
#pragma omp simd
    for (int i = 0; i < LANES; i++)
        roots[i] = __builtin_sqrtf(roots[i]);
    *weight -= a->rate * *mean / (load(roots, LANES) * a->root + a->epsilon);
}

#endif
