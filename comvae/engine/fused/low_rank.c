/* Adam on maps whose gradient is a product of two factors, on a CPU (section 3.1).

   What triton_adam.py does on a GPU: the gradient of a tile of a map is summed over the
   images in registers, where Adam takes it; it is never written. */

#include <stdint.h>

#include "adam.h"
#include "product.h"

enum { HIGH = 4, WIDE = 3 }; /* rows, and vectors of columns, of a tile */

/* native.py has the same fields. The gradient of a map is left right. */
typedef struct {
    float *weight, *mean, *square;  /* (seeds, rows, columns) */
    const float *left, *right;      /* (seeds, rows, batch), (seeds, batch, columns) */
    int64_t seeds, rows, columns, batch;
    int32_t threads;
    Adam adam;
} LowRank;

INLINE void update_tile(int rows, int vectors, const LowRank *l, int64_t at, int64_t first,
                        const float *left, const float *right)
{
    Vector by[HIGH][WIDE];
    const int64_t end = smaller(first + (vectors - 1) * LANES, l->columns - LANES);
    EACH(r, rows)
    EACH(v, vectors)
    by[r][v] = all(0);
    for (int64_t b = 0; b < l->batch; b++) {
        Vector x[WIDE];
        EACH(v, vectors)
        x[v] = load(right + b * l->columns + smaller(first + v * LANES, end), LANES);
        EACH(r, rows)
        EACH(v, vectors)
        by[r][v] += left[r * l->batch + b] * x[v];
    }
    EACH(r, rows)
    {
        const int64_t row = at + r * l->columns;
        adam_columns(&l->adam, vectors, by[r], first, end, l->weight + row, l->mean + row,
                     l->square + row);
        EACH(v, vectors)
        {
            /* of the rows that come next */
            const int64_t next = row + HIGH * l->columns + first + v * LANES;
            __builtin_prefetch(l->weight + next, 1);
            __builtin_prefetch(l->mean + next, 1);
            __builtin_prefetch(l->square + next, 1);
        }
    }
}

/* At most HIGH rows of one seed's map */
static void update_rows(const LowRank *l, int64_t seed, int64_t first)
{
    const int64_t vectors = (l->columns + LANES - 1) / LANES;
    const int64_t tiles = (vectors + WIDE - 1) / WIDE;
    const float *left = l->left + (seed * l->rows + first) * l->batch;
    const float *right = l->right + seed * l->batch * l->columns;
    const int64_t at = (seed * l->rows + first) * l->columns;
    const int rows = (int)smaller(HIGH, l->rows - first);
    for (int64_t tile = 0; tile < tiles; tile++) {
        /* as many in each as may be, so that those that overlap are in one */
        const int64_t from = tile * vectors / tiles, to = (tile + 1) * vectors / tiles;
        for (int r = 0; r < (rows == HIGH ? 1 : rows); r++) {
#define UPDATE(rows, vectors)                                                           \
    update_tile(rows, vectors, l, at + r * l->columns, from * LANES, left + r * l->batch, right)
            switch ((rows == HIGH) * WIDE + (int)(to - from)) {
            case 1: UPDATE(1, 1); break;
            case 2: UPDATE(1, 2); break;
            case WIDE: UPDATE(1, WIDE); break;
            case WIDE + 1: UPDATE(HIGH, 1); break;
            case WIDE + 2: UPDATE(HIGH, 2); break;
            default: UPDATE(HIGH, WIDE);
            }
#undef UPDATE
        }
    }
}

/* Rows have at least LANES columns. */
void comvae_low_rank_adam(const LowRank *l)
{
    const int64_t groups = (l->rows + HIGH - 1) / HIGH;
#pragma omp parallel for num_threads(l->threads) if (l->threads > 1)
    for (int64_t i = 0; i < l->seeds * groups; i++)
        update_rows(l, i / groups, i % groups * HIGH);
}

/* to, (seeds, rows, batch), is the product of weight, (seeds, rows, columns), with from,
   (seeds, columns, batch); the batch is a multiple of TOGETHER. */
void comvae_product(const float *weight, const float *from, float *to, int64_t seeds,
                    int64_t rows, int64_t columns, int64_t batch, int32_t threads)
{
    for (int64_t seed = 0; seed < seeds; seed++) {
        const float *own = weight + seed * rows * columns, *x = from + seed * columns * batch;
        float *out = to + seed * rows * batch;
        int32_t busy[columns]; /* a pixel without ink in all images has no part */
        const int64_t count = list_busy(x, columns, batch, busy);
#pragma omp parallel for num_threads(threads) if (threads > 1)
        for (int64_t first = 0; first < rows; first += ROWS) {
            const int64_t end = smaller(first + ROWS, rows);
            memset(out + first * batch, 0, (end - first) * batch * sizeof *out);
            product(own, columns, 1, first, end, busy, count, x, out, batch);
        }
    }
}
