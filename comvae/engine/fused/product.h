/* Products of a matrix of weights with the inputs of all images, which are last. */

#ifndef COMVAE_PRODUCT_H
#define COMVAE_PRODUCT_H

#include <stddef.h>
#include <stdint.h>

#include "vectors.h"

enum {
    ROWS = 6,                 /* that are summed at a time, */
    ACROSS = 2,               /* for so many vectors of images, */
    BLOCK = 128,              /* over so many terms: their inputs stay in the first cache */
    TOGETHER = ACROSS * LANES /* images */
};

/* Whether any of `width` numbers is not zero */
INLINE int is_busy(const float *numbers, int64_t width)
{
    Vector sum = {0};
    for (int64_t b = 0; b < width; b += LANES)
        sum += magnitude(load(numbers + b, LANES));
    float total = 0;
    for (int n = 0; n < LANES; n++)
        total += sum[n];
    return total != 0;
}

/* Which of `rows` rows of `width` numbers are not all zero; gives how many. */
INLINE int64_t list_busy(const float *numbers, int64_t rows, int64_t width, int32_t *busy)
{
    int64_t count = 0;
    for (int64_t r = 0; r < rows; r++) {
        busy[count] = (int32_t)r;
        count += is_busy(numbers + r * width, width);
    }
    return count;
}

/* to[r][b] += sum over the n in `terms` of weight[r row + n term] from[n][b] */
INLINE void product_tile(int rows, const float *weight, int64_t row, int64_t term,
                         const int32_t *terms, int64_t count, const float *from, float *to,
                         int64_t width)
{
    Vector sums[ROWS][ACROSS];
    EACH(r, rows)
    EACH(v, ACROSS)
    sums[r][v] = load(to + r * width + v * LANES, LANES);
    for (int64_t i = 0; i < count; i++) {
        const int64_t n = terms[i];
        const float *w = weight + n * term, *inputs = from + n * width;
        if (term == 1) /* the next rows: their weights follow on each other */
            __builtin_prefetch(weight + rows * row + n * rows);
        Vector x[ACROSS];
        EACH(v, ACROSS)
        x[v] = load(inputs + v * LANES, LANES);
        EACH(r, rows)
        EACH(v, ACROSS)
        sums[r][v] += w[r * row] * x[v];
    }
    EACH(r, rows)
    EACH(v, ACROSS)
    store(to + r * width + v * LANES, sums[r][v], LANES);
}

/* Adds to rows first .. end of `to` the product with the rows of `from` in `terms`. */
INLINE void product(const float *weight, int64_t row, int64_t term, int64_t first,
                    int64_t end, const int32_t *terms, int64_t count, const float *from,
                    float *to, int64_t width)
{
    for (int64_t n = 0; n < count; n += BLOCK)
        for (int64_t b = 0; b < width; b += TOGETHER)
            for (int64_t r = first; r < end; r += ROWS) {
#define TILE(rows)                                                                      \
    product_tile(rows, weight + r * row, row, term, terms + n, smaller(BLOCK, count - n),  \
                 from + b, to + r * width + b, width)
                switch (smaller(ROWS, end - r)) {
                case 1: TILE(1); break;
                case 2: TILE(2); break;
                case 3: TILE(3); break;
                case 4: TILE(4); break;
                case 5: TILE(5); break;
                default: TILE(ROWS);
                }
#undef TILE
            }
}

#endif
