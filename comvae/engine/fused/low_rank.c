/* Adam on maps whose gradient is a product of two factors, on a CPU (section 3.1).

   What triton_adam.py does on a GPU: the gradient of a tile of a map is summed over the
   images in registers, where Adam takes it; it is never written. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "layers.h"
#include "product.h"

enum { HIGH = 4, WIDE = 3 }; /* rows, and vectors of columns, of a tile */

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
    const unsigned mode = float_mode();
#pragma omp parallel for num_threads(l->threads) if (l->threads > 1)
    for (int64_t i = 0; i < l->seeds * groups; i++) {
        take_over(mode);
        update_rows(l, i / groups, i % groups * HIGH);
    }
}

/* Rows first .. end of a seed's product; `x` has `width` images, of which the last may be
   blank, where `to` has fewer. */
static void product_rows(const Product *p, const float *weight, const int32_t *busy,
                         int64_t count, const float *x, int64_t width, float *to,
                         int64_t first, int64_t end)
{
    const int64_t batch = p->batch, rows = end - first;
    float tile[width == batch ? 1 : ROWS * width];
    float *out = width == batch ? to + first * batch : tile;
    if (!p->adds || width != batch)
        memset(out, 0, rows * width * sizeof *out);
    product(weight + first * p->row, p->row, p->term, 0, rows, busy, count, x, out, width);
    for (int64_t r = 0; width != batch && r < rows; r++) {
        float *own = to + (first + r) * batch;
        for (int64_t b = 0; b < batch; b++)
            own[b] = tile[r * width + b] + (p->adds ? own[b] : 0);
    }
}

void comvae_product(const Product *p)
{
    const unsigned mode = float_mode();
    const int64_t width = (p->batch + TOGETHER - 1) / TOGETHER * TOGETHER;
    float *filled = width == p->batch ? NULL : calloc(p->terms * width, sizeof *filled);
    if (width != p->batch && !filled)
        abort(); /* no memory */
    for (int64_t seed = 0; seed < p->seeds; seed++) {
        const float *weight = p->weight + seed * p->weight_apart;
        const float *x = p->from + seed * p->from_apart;
        float *to = p->to + seed * p->to_apart;
        for (int64_t n = 0; filled && n < p->terms; n++)
            memcpy(filled + n * width, x + n * p->batch, p->batch * sizeof *x);
        x = filled ? filled : x;
        int32_t busy[p->terms]; /* a pixel without ink in all images has no part */
        const int64_t count = list_busy(x, p->terms, width, busy);
#pragma omp parallel for num_threads(p->threads) if (p->threads > 1)
        for (int64_t first = 0; first < p->rows; first += ROWS) {
            take_over(mode);
            product_rows(p, weight, busy, count, x, width, to, first,
                         smaller(first + ROWS, p->rows));
        }
    }
    free(filled);
}
