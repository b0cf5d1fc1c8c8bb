/* Adam (Kingma and Ba 2015), on vectors of weights. */

#ifndef COMVAE_ADAM_H
#define COMVAE_ADAM_H

#include "vectors.h"

/* One step's numbers, as `adam_numbers` of optimiser.py gives them: the learning rate over the
   first moment's correction, the inverted root of the second's, and what the moments
   take of the old and of the new. native.py has the same fields. */
typedef struct {
    float rate, root, new_mean, keep_square, new_square, epsilon;
} Adam;

/* LANES weights and their moments */
typedef struct {
    Vector weight, mean, square;
} State;

/* What a step with the gradient `by` makes of them */
INLINE State updated(const Adam *a, Vector by, const float *weight, const float *mean,
                     const float *square)
{
    State s = {load(weight, LANES), load(mean, LANES), load(square, LANES)};
    float roots[LANES];
    s.mean += a->new_mean * (by - s.mean);
    s.square = a->keep_square * s.square + a->new_square * by * by;
    store(roots, s.square, LANES);
#pragma omp simd
    for (int i = 0; i < LANES; i++)
        roots[i] = __builtin_sqrtf(roots[i]);
    s.weight -= a->rate * s.mean / (load(roots, LANES) * a->root + a->epsilon);
    return s;
}

INLINE void keep(State s, float *weight, float *mean, float *square)
{
    store(weight, s.weight, LANES);
    store(mean, s.mean, LANES);
    store(square, s.square, LANES);
}

/* The columns of a row from `first` on. The last vector begins at `end`, so that it ends
   with the row: it may overlap the one before, and computes the same there, from what was
   before. */
INLINE void adam_columns(const Adam *a, int vectors, const Vector *by, int64_t first,
                         int64_t end, float *weight, float *mean, float *square)
{
    const State last = updated(a, by[vectors - 1], weight + end, mean + end, square + end);
    EACH(v, vectors - 1)
    {
        const int64_t at = first + v * LANES;
        keep(updated(a, by[v], weight + at, mean + at, square + at), weight + at, mean + at,
             square + at);
    }
    keep(last, weight + end, mean + end, square + end);
}

/* A row of weights whose gradient is in memory */
INLINE void adam_row(const Adam *a, int64_t count, const float *by, float *weight,
                     float *mean, float *square)
{
    const int rest = (int)(count % LANES);
    const int64_t end = count - rest;
    for (int64_t i = 0; i < end; i += LANES)
        keep(updated(a, load(by + i, LANES), weight + i, mean + i, square + i), weight + i,
             mean + i, square + i);
    float *const arrays[3] = {weight + end, mean + end, square + end};
    float old[3][LANES] = {{0}};
    for (int k = 0; k < 3; k++)
        memcpy(old[k], arrays[k], rest * sizeof **old);
    keep(updated(a, load(by + end, rest), old[0], old[1], old[2]), old[0], old[1], old[2]);
    for (int k = 0; k < 3; k++)
        memcpy(arrays[k], old[k], rest * sizeof **old);
}

#endif
