/* A DBNN layer from the output of its maps to its output, on a CPU (section 2.2).

   What triton_layer.py does on a GPU: each weight of each image is read once in the
   forward pass and once in the backward pass, and all between stays in the first cache.
   A unit is one output of one seed; units are shared out among the threads, and no sum
   depends on how. Of a unit the work goes LANES weights at a time, a tile, and of a
   tile LANES images at a time: the innermost loops are one vector wide. Each does a
   few things for the whole tile, since a processor that waits for an exponential
   cannot look far enough ahead to begin with the next. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "layers.h"
#include "vectors.h"

/* At most LANES weights of one unit, `rows` of them, and where they begin in each array
   of the layer; in those of two places the first is mu's, the second rho's. */
typedef struct {
    int64_t rows;
    int64_t map[2], statistic[2], affine[2]; /* `statistic` in mean and var */
    int64_t inputs, eps;
} Tile;

INLINE Tile tile_at(const Layer *l, int64_t unit, int64_t first)
{
    const int64_t seed = unit / l->outs, out = unit % l->outs;
    Tile at;
    at.rows = smaller(LANES, l->ins - first);
    for (int which = 0; which < 2; which++) {
        const int64_t row = ((seed * 2 + which) * l->outs + out) * l->ins + first;
        at.map[which] = row * l->batch;
        at.statistic[which] = row;
        /* without batch norm all seeds have the same scale and shift */
        at.affine[which] = row - (l->normalised ? 0 : seed * 2 * l->outs * l->ins);
    }
    at.inputs = (seed * l->ins + first) * l->batch;
    at.eps = (unit * l->ins + first) * l->batch;
    return at;
}

/* How mu, or rho, of each weight follows from what its map gave:
   (value - centre) slope + offset, where the slope is scale root */
typedef struct {
    Vector centre, root, slope, offset;
} Affine;

INLINE Vector through(const Affine *a, int64_t i, Vector value)
{
    return (value - a->centre[i]) * a->slope[i] + a->offset[i];
}

INLINE Affine affine_of(const Layer *l, const Tile *at, int which, const float *scale,
                        const float *shift, const float *mean, const float *var)
{
    const int rows = (int)at->rows;
    Affine a = {.centre = {0}, .root = all(1)};
    if (l->normalised) {
        float roots[LANES];
        a.centre = load(mean + at->statistic[which], rows);
        store(roots, load(var + at->statistic[which], rows) + l->norm_eps, LANES);
#pragma omp simd
        for (int i = 0; i < LANES; i++)
            roots[i] = 1.0f / __builtin_sqrtf(roots[i]);
        a.root = load(roots, LANES);
    }
    a.slope = load(scale + at->affine[which], rows) * a.root;
    a.offset = load(shift + at->affine[which], rows);
    return a;
}

/* Mean and biased variance of each weight over its images */
INLINE void statistics(int rows, int64_t batch, const float *values, float *mean,
                       float *var)
{
    const int rest = (int)(batch % LANES);
    Integers lane;
    for (int i = 0; i < LANES; i++)
        lane[i] = i;
    Vector lanes[LANES] = {{0}};
    for (int i = 0; i < rows; i++) {
        const float *row = values + i * batch, *end = row + batch - rest;
        Vector sum = {0};
        for (; row < end; row += LANES)
            sum += load(row, LANES);
        if (rest)
            sum += load(row, rest);
        lanes[i] = sum;
    }
    const Vector means = sum_rows(lanes) / (float)batch;
    for (int i = 0; i < rows; i++) {
        const float *row = values + i * batch, *end = row + batch - rest;
        Vector sum = {0};
        for (; row < end; row += LANES) {
            const Vector deviation = load(row, LANES) - means[i];
            sum += deviation * deviation;
        }
        if (rest) {
            const Vector deviation = select(lane < rest, load(row, rest) - means[i], all(0));
            sum += deviation * deviation;
        }
        lanes[i] = sum;
    }
    store(mean, means, rows);
    store(var, sum_rows(lanes) / (float)batch, rows);
}

/* rho, exp(-|rho|) and sigma of the weights of a tile, for `lanes` images */
INLINE void deviations(const Layer *l, const Tile *at, const float *maps,
                       const Affine *of_rho, int64_t b, int lanes, Vector *rho,
                       Vector *decayed, Vector *sigma)
{
    for (int64_t i = 0; i < at->rows; i++) {
        rho[i] = through(of_rho, i, load(maps + at->map[1] + i * l->batch + b, lanes));
        decayed[i] = decay(magnitude(rho[i]));
    }
    for (int64_t i = 0; i < at->rows; i++)
        sigma[i] = softplus_of(rho[i], decayed[i]);
}

/* What decides between spike and slab of the mixture prior: the log of their ratio. */
INLINE Vector log_ratio_of(const Layer *l, Vector w)
{
    return l->log_ratio - l->excess * w * w;
}

/* Nats by lane. A sum of logarithms is taken as the logarithm of a product, which LANES
   factors from 1/2 to 2 keep far from overflow; exponents of two are summed apart. */
typedef struct {
    Vector sum, mantissas, ratios;
    Integers exponents;
} Nats;

INLINE double total(const Nats *nats, int lanes)
{
    const Vector logarithms = log_of(nats->mantissas) + log_of(nats->ratios);
    double sum = 0;
    for (int n = 0; n < lanes; n++)
        sum += (double)nats->sum[n] - (double)logarithms[n] -
               0.693147180559945309 * nats->exponents[n];
    return sum;
}

/* `lanes` images of a tile, from the b-th on; gives their nats but for the constant. */
INLINE double forward_lanes(const Layer *l, const Forward *f, const Tile *at,
                            const Affine *of_mu, const Affine *of_rho, int64_t b,
                            int lanes, float *h, float *spread, int each, int kl)
{
    Vector rho[LANES], decayed[LANES], sigma[LANES];
    Vector output = load(h, lanes), variance = {0};
    Nats nats = {.mantissas = all(1), .ratios = all(1)};
    deviations(l, at, f->maps, of_rho, b, lanes, rho, decayed, sigma);
    for (int64_t i = 0; i < at->rows; i++) {
        const int64_t row = i * l->batch + b;
        const Vector mu = through(of_mu, i, load(f->maps + at->map[0] + row, lanes));
        const Vector x = load(f->inputs + at->inputs + row, lanes);
        const Vector eps = each ? load(f->eps + at->eps + row, lanes) : all(0);
        const Vector w = each ? mu + sigma[i] * eps : mu;
        output += w * x;
        if (!each)
            variance += sigma[i] * x * (sigma[i] * x);
        if (kl == NO_KL)
            continue;
        Integers exponent;
        nats.mantissas *= mantissa_of(sigma[i], &exponent);
        nats.exponents += exponent;
        nats.sum += kl == CLOSED ? l->half * (mu * mu + sigma[i] * sigma[i])
                                 : l->half * w * w - 0.5f * eps * eps;
        if (kl == MIXTURE) {
            const Vector ratio = log_ratio_of(l, w);
            nats.sum -= positive(ratio);
            nats.ratios *= 1.0f + decay(magnitude(ratio));
        }
    }
    store(h, output, lanes);
    if (!each)
        store(spread, load(spread, lanes) + variance, lanes);
    return kl == NO_KL ? 0 : total(&nats, lanes);
}

INLINE void forward_as(const Layer *l, const Forward *f, int64_t unit, int each, int kl)
{
    const int64_t batch = l->batch;
    float *h = f->h + unit * batch, *spread = each ? h : f->spread + unit * batch;
    double nats = 0;
    memset(h, 0, batch * sizeof *h);
    memset(spread, 0, batch * sizeof *spread);
    for (int64_t first = 0; first < l->ins; first += LANES) {
        const Tile at = tile_at(l, unit, first);
        if (l->normalised)
            for (int which = 0; which < 2; which++)
                statistics((int)at.rows, batch, f->maps + at.map[which],
                           f->mean + at.statistic[which], f->var + at.statistic[which]);
        const Affine of_mu = affine_of(l, &at, 0, f->scale, f->shift, f->mean, f->var);
        const Affine of_rho = affine_of(l, &at, 1, f->scale, f->shift, f->mean, f->var);
        int64_t b = 0;
        for (; b + LANES <= batch; b += LANES)
            nats += forward_lanes(l, f, &at, &of_mu, &of_rho, b, LANES, h + b, spread + b,
                                  each, kl);
        if (b < batch)
            nats += forward_lanes(l, f, &at, &of_mu, &of_rho, b, (int)(batch - b), h + b,
                                  spread + b, each, kl);
    }
    if (kl != NO_KL)
        f->nats[unit] = nats + (double)l->constant * (double)(l->ins * batch);
}

/* For `lanes` images of a tile, from the b-th on: the gradient of the normalised maps
   goes to by_maps, that of the inputs is added to by_inputs. */
INLINE void backward_lanes(const Layer *l, const Backward *f, const Tile *at,
                           const Affine *of_mu, const Affine *of_rho, int64_t b,
                           int lanes, Vector by_h, Vector over, float weight,
                           float *by_inputs, int each, int kl)
{
    Vector rho[LANES], decayed[LANES], sigma[LANES], means[LANES], faded[LANES];
    deviations(l, at, f->maps, of_rho, b, lanes, rho, decayed, sigma);
    for (int64_t i = 0; i < at->rows; i++) {
        const int64_t row = i * l->batch + b;
        means[i] = through(of_mu, i, load(f->maps + at->map[0] + row, lanes));
        if (kl == MIXTURE) {
            const Vector w = means[i] + sigma[i] * load(f->eps + at->eps + row, lanes);
            faded[i] = decay(magnitude(log_ratio_of(l, w)));
        }
    }
    for (int64_t i = 0; i < at->rows; i++) {
        const int64_t row = i * l->batch + b;
        const Vector x = load(f->inputs + at->inputs + row, lanes);
        const Vector eps = each ? load(f->eps + at->eps + row, lanes) : all(0);
        const Vector mu = means[i], deviation = sigma[i];
        const Vector w = each ? mu + deviation * eps : mu;
        const Vector u = 1.0f + decayed[i], v = kl == MIXTURE ? 1.0f + faded[i] : all(1);
        /* one division for 1 / u, 1 / sigma and 1 / v */
        const Vector others = kl == NO_KL ? all(1) : deviation * v;
        const Vector inverse = 1.0f / (u * others);
        const Vector outer = by_h * x, noise = outer * over * deviation;
        Vector by_mu = outer, by_sigma = each ? outer * eps : noise * x;
        Vector by_x = load(by_inputs + row, lanes) + by_h * w;
        if (!each)
            by_x += noise * deviation;
        if (kl == CLOSED) {
            by_mu += weight * 2 * l->half * mu;
            by_sigma += weight * (2 * l->half * deviation - inverse * u);
        } else if (kl != NO_KL) {
            Vector slope = all(2 * l->half);
            if (kl == MIXTURE) {
                const Vector share = select(log_ratio_of(l, w) < 0, faded[i], all(1));
                slope += 2 * l->excess * share * (inverse * (u * deviation));
            }
            by_mu += weight * slope * w;
            by_sigma += weight * (slope * w * eps - inverse * (u * v));
        }
        const Vector sigmoid = select(rho[i] < 0, decayed[i], all(1)) * (inverse * others);
        store(f->by_maps + at->map[0] + row, by_mu, lanes);
        store(f->by_maps + at->map[1] + row, by_sigma * sigmoid, lanes);
        store(by_inputs + row, by_x, lanes);
    }
}

/* The gradient of the maps' output from that of its normalised values, in place */
INLINE void denormalise(const Layer *l, const Backward *f, const Tile *at, int which,
                        const Affine *a)
{
    const int64_t batch = l->batch;
    const int rest = (int)(batch % LANES), rows = (int)at->rows;
    Vector lanes[LANES] = {{0}}, lanes_along[LANES] = {{0}};
    for (int i = 0; i < rows && l->normalised; i++) {
        const float *values = f->maps + at->map[which] + i * batch;
        const float *by = f->by_maps + at->map[which] + i * batch, *end = by + batch - rest;
        Vector sum = {0}, along = {0};
        for (; by < end; by += LANES, values += LANES) {
            sum += load(by, LANES);
            along += load(by, LANES) * (load(values, LANES) - a->centre[i]);
        }
        if (rest) {
            sum += load(by, rest);
            along += load(by, rest) * (load(values, rest) - a->centre[i]);
        }
        lanes[i] = sum;
        lanes_along[i] = along;
    }
    const Vector sums = sum_rows(lanes), alongs = sum_rows(lanes_along) * a->root;
    if (l->normalised) {
        store(f->by_shift + at->affine[which], sums, rows);
        store(f->by_scale + at->affine[which], alongs, rows);
    }
    const Vector mean = sums / (float)batch, slope = alongs * a->root / (float)batch;
    for (int i = 0; i < rows; i++) {
        const float *values = f->maps + at->map[which] + i * batch;
        float *by = f->by_maps + at->map[which] + i * batch, *end = by + batch - rest;
        for (; by < end; by += LANES, values += LANES) {
            const Vector along = (load(values, LANES) - a->centre[i]) * slope[i];
            store(by, a->slope[i] * (load(by, LANES) - mean[i] - along), LANES);
        }
        if (rest) {
            const Vector along = (load(values, rest) - a->centre[i]) * slope[i];
            store(by, a->slope[i] * (load(by, rest) - mean[i] - along), rest);
        }
    }
}

INLINE void backward_as(const Layer *l, const Backward *f, int64_t unit, float *by_inputs,
                        int each, int kl)
{
    const int64_t batch = l->batch;
    const float *by_h = f->by_h + unit * batch;
    const float *over = each ? by_h : f->ratio + unit * batch;
    const float weight = kl == NO_KL ? 0 : f->by_nats[unit / l->outs];
    for (int64_t first = 0; first < l->ins; first += LANES) {
        const Tile at = tile_at(l, unit, first);
        const Affine of_mu = affine_of(l, &at, 0, f->scale, f->shift, f->mean, f->var);
        const Affine of_rho = affine_of(l, &at, 1, f->scale, f->shift, f->mean, f->var);
        float *by_x = by_inputs + first * batch;
        int64_t b = 0;
        for (; b + LANES <= batch; b += LANES)
            backward_lanes(l, f, &at, &of_mu, &of_rho, b, LANES, load(by_h + b, LANES),
                           load(over + b, LANES), weight, by_x, each, kl);
        if (b < batch) {
            const int rest = (int)(batch - b);
            backward_lanes(l, f, &at, &of_mu, &of_rho, b, rest, load(by_h + b, rest),
                           load(over + b, rest), weight, by_x, each, kl);
        }
        denormalise(l, f, &at, 0, &of_mu);
        denormalise(l, f, &at, 1, &of_rho);
    }
}

/* One copy of the loops for each kind of layer, so that no loop has a branch: `each`
   and `kl` are constants in each. One draw for each output has no sampled KL. */
#define OF_KIND(l, call, ...)                                                           \
    switch ((l)->each_weight ? (l)->kl : -1 - ((l)->kl != NO_KL)) {                      \
    case -1: call(l, __VA_ARGS__, 0, NO_KL); break;                                     \
    case -2: call(l, __VA_ARGS__, 0, CLOSED); break;                                    \
    case NO_KL: call(l, __VA_ARGS__, 1, NO_KL); break;                                  \
    case CLOSED: call(l, __VA_ARGS__, 1, CLOSED); break;                                \
    case SAMPLED: call(l, __VA_ARGS__, 1, SAMPLED); break;                              \
    default: call(l, __VA_ARGS__, 1, MIXTURE);                                          \
    }

static void forward_unit(const Layer *l, const Forward *f, int64_t unit)
{
    OF_KIND(l, forward_as, f, unit)
}

static void backward_unit(const Layer *l, const Backward *f, int64_t unit,
                                 float *by_inputs)
{
    OF_KIND(l, backward_as, f, unit, by_inputs)
}

void comvae_forward(const Layer *l, const Forward *f)
{
    const int64_t units = l->seeds * l->outs;
    const unsigned mode = float_mode();
#pragma omp parallel for num_threads(l->threads) if (l->threads > 1)
    for (int64_t unit = 0; unit < units; unit++) {
        take_over(mode);
        forward_unit(l, f, unit);
    }
}

/* by_inputs is all zero before; a part is `outs_together` outputs of one seed */
void comvae_backward(const Layer *l, const Backward *f)
{
    const int64_t parts = (l->outs + l->outs_together - 1) / l->outs_together;
    const unsigned mode = float_mode();
#pragma omp parallel for num_threads(l->threads) if (l->threads > 1)
    for (int64_t part = 0; part < l->seeds * parts; part++) {
        take_over(mode);
        const int64_t seed = part / parts, first = part % parts * l->outs_together;
        const int64_t end = first + l->outs_together;
        float *own = f->by_inputs + part * l->ins * l->batch;
        for (int64_t out = first; out < (end < l->outs ? end : l->outs); out++)
            backward_unit(l, f, seed * l->outs + out, own);
    }
}
