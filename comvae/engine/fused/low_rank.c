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

/* The last vector ends with the row, and may overlap the one before: it computes the same
   there, from what was before. */
INLINE void update_tile(int rows, int vectors, const LowRank *l, int64_t at, int64_t first,
                        const float *left, const float *right)
{
    Vector by[HIGH][WIDE], weight[HIGH][WIDE], mean[HIGH][WIDE], square[HIGH][WIDE];
    int64_t column[WIDE];
    for (int v = 0; v < vectors; v++)
        column[v] = smaller(first + v * LANES, l->columns - LANES);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            by[r][v] = all(0);
    for (int64_t b = 0; b < l->batch; b++) {
        Vector x[WIDE];
        for (int v = 0; v < vectors; v++)
            x[v] = load(right + b * l->columns + column[v], LANES);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                by[r][v] += left[r * l->batch + b] * x[v];
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            const int64_t n = at + r * l->columns + column[v];
            const int64_t next = n + HIGH * l->columns;
            __builtin_prefetch(l->weight + next, 1);
            __builtin_prefetch(l->mean + next, 1);
            __builtin_prefetch(l->square + next, 1);
            weight[r][v] = load(l->weight + n, LANES);
            mean[r][v] = load(l->mean + n, LANES);
            square[r][v] = load(l->square + n, LANES);
            adam(&l->adam, by[r][v], &weight[r][v], &mean[r][v], &square[r][v]);
        }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            const int64_t n = at + r * l->columns + column[v];
            store(l->weight + n, weight[r][v], LANES);
            store(l->mean + n, mean[r][v], LANES);
            store(l->square + n, square[r][v], LANES);
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
    const int64_t groups = (rows + ROWS - 1) / ROWS;
    int32_t busy[seeds][columns]; /* a pixel without ink in all images has no part */
    int64_t counts[seeds];
    for (int64_t seed = 0; seed < seeds; seed++)
        counts[seed] = list_busy(from + seed * columns * batch, columns, batch, busy[seed]);
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < seeds * groups; i++) {
        const int64_t seed = i / groups, first = i % groups * ROWS;
        const int64_t end = smaller(first + ROWS, rows);
        float *own = to + seed * rows * batch;
        memset(own + first * batch, 0, (end - first) * batch * sizeof *own);
        product(weight + seed * rows * columns, columns, 1, first, end, busy[seed],
                counts[seed], from + seed * columns * batch, own, batch);
    }
}
