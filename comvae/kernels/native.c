/* A DBNN layer from the output of its maps to its output, on a CPU (section 2.2).

   What dynamic_kernel.py does on a GPU: each weight of each image is read once in the
   forward pass and once in the backward pass, and all between stays in the first cache.
   Work goes tile by tile in short loops over many numbers: a long loop body would wait
   for its own exponentials and logarithms. A unit is one output of one seed; units are
   shared out among the threads, and no sum depends on how. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* Numbers of a tile, of which a few fit into the first cache; a minibatch may be larger.
   The odd bit of room keeps buffers side by side from the same lines of that cache. */
enum { TILE = 2048, ROOM = 4096 + 144 };

#define INLINE static inline __attribute__((always_inline))

/* The widest instructions of the machine that it runs on, not of the one that it was
   built on. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define WIDEST __attribute__((noinline, target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WIDEST __attribute__((noinline))
#endif

enum { NO_KL, CLOSED, SAMPLED, MIXTURE }; /* in the order of KINDS in native.py */

/* All shapes and numbers of a layer; native.py has the same fields. */
typedef struct {
    int64_t seeds, outs, ins, batch, outs_together;
    int32_t normalised; /* by the batch's statistics; else scaled and shifted only */
    int32_t each_weight; /* a draw for each weight; else one for each output */
    int32_t kl, threads;
    float norm_eps, constant, half, log_ratio, excess;
} Layer;

typedef struct {
    const float *maps, *inputs, *eps, *scale, *shift;
    float *mean, *var; /* of the batch, (seeds, 2, outs, ins) */
    float *h, *spread; /* (seeds, outs, batch); `spread` is its variance */
    double *nats;      /* (seeds, outs) */
} Forward;

typedef struct {
    const float *maps, *inputs, *eps, *ratio, *scale, *shift, *mean, *var;
    const float *by_h, *by_nats;
    float *by_maps, *by_inputs, *by_scale, *by_shift; /* by_inputs: (seeds, parts, ins, batch) */
} Backward;

/* exp(x) to 2 ulp, for x from -87 to 87: no result or reciprocal of it is subnormal */
INLINE float exp_of(float x)
{
    x = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x;
    float n = x * 1.44269504f + 12582912.0f; /* rounds: no fraction fits beside 2^23 */
    n -= 12582912.0f;
    float r = x - n * 0.693359375f;
    r += n * 2.12194440e-4f; /* log 2 in two parts */
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* log(x) of a positive normal number to 2 ulp */
INLINE float log_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t exponent = (bits - 0x3f3504f3) >> 23; /* mantissa from sqrt(1/2) to sqrt(2) */
    bits -= exponent * (1 << 23);
    float mantissa, n = (float)exponent;
    memcpy(&mantissa, &bits, sizeof mantissa);
    float r = mantissa - 1.0f, z = r * r;
    float p = 7.0376836292e-2f;
    p = p * r - 1.1514610310e-1f;
    p = p * r + 1.1676998740e-1f;
    p = p * r - 1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f;
    p = p * r - 1.6668057665e-1f;
    p = p * r + 2.0000714765e-1f;
    p = p * r - 2.4999993993e-1f;
    p = p * r + 3.3333331174e-1f;
    p = p * r * z - n * 2.12194440e-4f - 0.5f * z;
    return r + p + n * 0.693359375f;
}

INLINE float larger(float a, float b) { return a > b ? a : b; }

INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Some weights of one unit, with all of their images: `rows` from `first` on, which are
   `count` numbers. Where they begin in each array of the layer: */
typedef struct {
    int64_t rows, count;
    int64_t row[2];    /* mu's and rho's among the rows of `maps` */
    int64_t affine[2]; /* the same in `scale` and `shift` */
    int64_t inputs, eps;
} Tile;

INLINE Tile tile_at(const Layer *l, int64_t unit, int64_t first)
{
    const int64_t seed = unit / l->outs, out = unit % l->outs;
    const int64_t together = l->batch < TILE ? TILE / l->batch : 1;
    Tile t;
    t.rows = smaller(together, l->ins - first);
    t.count = t.rows * l->batch;
    for (int which = 0; which < 2; which++) {
        t.row[which] = ((seed * 2 + which) * l->outs + out) * l->ins + first;
        /* without batch norm all seeds have the same scale and shift */
        t.affine[which] = t.row[which] - (l->normalised ? 0 : seed * 2 * l->outs * l->ins);
    }
    t.inputs = (seed * l->ins + first) * l->batch;
    t.eps = (unit * l->ins + first) * l->batch;
    return t;
}

/* Mean and biased variance of each weight over its images. */
INLINE void statistics(const Tile *t, int64_t batch, const float *restrict values,
                       float *restrict mean, float *restrict var)
{
    for (int64_t i = 0; i < t->rows; i++) {
        const float *restrict row = values + i * batch;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t b = 0; b < batch; b++)
            sum += row[b];
        mean[i] = sum / (float)batch;
    }
    for (int64_t i = 0; i < t->rows; i++) {
        const float *restrict row = values + i * batch;
        const float centre = mean[i];
        float squares = 0;
#pragma omp simd reduction(+ : squares)
        for (int64_t b = 0; b < batch; b++)
            squares += (row[b] - centre) * (row[b] - centre);
        var[i] = squares / (float)batch;
    }
}

INLINE void roots(const Layer *l, const Tile *t, const float *var, float *restrict root)
{
    for (int64_t i = 0; i < t->rows; i++)
        root[i] = l->normalised ? 1.0f / __builtin_sqrtf(var[i] + l->norm_eps) : 1.0f;
}

/* mu or rho of the tile, from what the maps gave */
INLINE void normalise(const Layer *l, const Tile *t, int which, const float *maps,
                      const float *scale, const float *shift, const float *mean,
                      const float *root, float *restrict out)
{
    const float *values = maps + t->row[which] * l->batch;
    for (int64_t i = 0; i < t->rows; i++) {
        const float centre = l->normalised ? mean[i] : 0.0f;
        const float slope = scale[t->affine[which] + i] * root[i];
        const float offset = shift[t->affine[which] + i];
#pragma omp simd
        for (int64_t b = i * l->batch; b < (i + 1) * l->batch; b++)
            out[b] = (values[b] - centre) * slope + offset;
    }
}

/* exp(-|x|), from which both softplus and sigmoid of x follow */
INLINE void decay(int64_t count, const float *restrict x, float *restrict out)
{
#pragma omp simd
    for (int64_t n = 0; n < count; n++)
        out[n] = exp_of(x[n] < 0 ? x[n] : -x[n]);
}

/* log(1 + exp(x)); the digits of a small exp(x), which 1 + exp(x) rounds off, are kept */
INLINE float softplus_of(float x, float decayed)
{
    const float u = 1.0f + decayed;
    return larger(x, 0.0f) + log_of(u) + (decayed - (u - 1.0f));
}

INLINE float sigmoid_of(float x, float decayed)
{
    return (x < 0 ? decayed : 1.0f) / (1.0f + decayed);
}

/* sigma in place of rho, and its derivative by rho where `slope` is given */
INLINE void to_sigma(int64_t count, float *restrict rho, float *restrict decayed,
                     float *restrict slope)
{
    decay(count, rho, decayed);
    if (slope)
#pragma omp simd
        for (int64_t n = 0; n < count; n++)
            slope[n] = sigmoid_of(rho[n], decayed[n]);
#pragma omp simd
    for (int64_t n = 0; n < count; n++)
        rho[n] = softplus_of(rho[n], decayed[n]);
}

/* What decides between spike and slab of the mixture prior: the log of their ratio. */
INLINE void log_ratios(const Layer *l, int64_t count, const float *restrict w,
                       float *restrict out)
{
#pragma omp simd
    for (int64_t n = 0; n < count; n++)
        out[n] = l->log_ratio - l->excess * w[n] * w[n];
}

INLINE float tile_nats(const Layer *l, const Tile *t, int kl, const float *restrict mu,
                       const float *restrict sigma, const float *restrict w,
                       const float *restrict eps, float *restrict ratio,
                       float *restrict decayed)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t n = 0; n < t->count; n++)
        sum -= log_of(sigma[n]);
    if (kl == CLOSED) {
#pragma omp simd reduction(+ : sum)
        for (int64_t n = 0; n < t->count; n++)
            sum += l->half * (mu[n] * mu[n] + sigma[n] * sigma[n]);
        return sum;
    }
#pragma omp simd reduction(+ : sum)
    for (int64_t n = 0; n < t->count; n++)
        sum += l->half * w[n] * w[n] - 0.5f * eps[n] * eps[n];
    if (kl == MIXTURE) {
        log_ratios(l, t->count, w, ratio);
        decay(t->count, ratio, decayed);
#pragma omp simd reduction(+ : sum)
        for (int64_t n = 0; n < t->count; n++)
            sum -= softplus_of(ratio[n], decayed[n]);
    }
    return sum;
}

INLINE void forward_as(const Layer *l, const Forward *f, int64_t unit, int each, int kl)
{
    const int64_t batch = l->batch;
    float mu[ROOM], sigma[ROOM], w[ROOM], decayed[ROOM], root[TILE];
    float *restrict h = f->h + unit * batch;
    float *restrict spread = each ? NULL : f->spread + unit * batch;
    double nats = 0;
    memset(h, 0, batch * sizeof *h);
    if (!each)
        memset(spread, 0, batch * sizeof *spread);
    for (int64_t first = 0; first < l->ins;) {
        const Tile t = tile_at(l, unit, first);
        const float *restrict x = f->inputs + t.inputs;
        const float *restrict eps = each ? f->eps + t.eps : NULL;
        for (int which = 0; which < 2; which++) {
            float *mean = f->mean + t.row[which], *var = f->var + t.row[which];
            if (l->normalised)
                statistics(&t, batch, f->maps + t.row[which] * batch, mean, var);
            roots(l, &t, var, root);
            normalise(l, &t, which, f->maps, f->scale, f->shift, mean, root,
                      which ? sigma : mu);
        }
        to_sigma(t.count, sigma, decayed, NULL);
        const float *restrict drawn = each ? w : mu;
        if (each)
#pragma omp simd
            for (int64_t n = 0; n < t.count; n++)
                w[n] = mu[n] + sigma[n] * eps[n];
        for (int64_t i = 0; i < t.rows; i++)
#pragma omp simd
            for (int64_t b = 0; b < batch; b++)
                h[b] += drawn[i * batch + b] * x[i * batch + b];
        if (!each)
            for (int64_t i = 0; i < t.rows; i++)
#pragma omp simd
                for (int64_t b = 0; b < batch; b++) {
                    const float noise = sigma[i * batch + b] * x[i * batch + b];
                    spread[b] += noise * noise;
                }
        if (kl != NO_KL) /* mu has served, but in a closed form */
            nats += tile_nats(l, &t, kl, mu, sigma, w, eps, kl == CLOSED ? w : mu, decayed);
        first += t.rows;
    }
    if (kl != NO_KL)
        f->nats[unit] = nats + (double)l->constant * (double)(l->ins * batch);
}

/* The gradient of the maps' output from that of its normalised values, in place. */
INLINE void denormalise(const Layer *l, const Backward *f, const Tile *t, int which,
                        const float *restrict root)
{
    const int64_t batch = l->batch, row = t->row[which], at = t->affine[which];
    const float *restrict values = f->maps + row * batch;
    const float *restrict mean = f->mean + row;
    float *restrict by = f->by_maps + row * batch;
    if (!l->normalised) {
        for (int64_t i = 0; i < t->rows; i++)
#pragma omp simd
            for (int64_t b = i * batch; b < (i + 1) * batch; b++)
                by[b] *= f->scale[at + i];
        return;
    }
    for (int64_t i = 0; i < t->rows; i++) {
        float sum = 0, along = 0;
#pragma omp simd reduction(+ : sum, along)
        for (int64_t b = i * batch; b < (i + 1) * batch; b++) {
            sum += by[b];
            along += by[b] * (values[b] - mean[i]);
        }
        f->by_shift[at + i] = sum;
        f->by_scale[at + i] = along * root[i];
    }
    for (int64_t i = 0; i < t->rows; i++) {
        const float slope = f->scale[at + i] * root[i];
        const float sum = f->by_shift[at + i] / (float)batch;
        const float along = f->by_scale[at + i] * root[i] / (float)batch;
#pragma omp simd
        for (int64_t b = i * batch; b < (i + 1) * batch; b++)
            by[b] = slope * (by[b] - sum - (values[b] - mean[i]) * along);
    }
}

INLINE void backward_as(const Layer *l, const Backward *f, int64_t unit, float *by_inputs,
                        int each, int kl)
{
    const int64_t batch = l->batch, seed = unit / l->outs;
    const float *restrict by_h = f->by_h + unit * batch;
    const float *restrict over = each ? NULL : f->ratio + unit * batch;
    const float weight = kl == NO_KL ? 0 : f->by_nats[seed];
    float mu[ROOM], sigma[ROOM], slope[ROOM], share[ROOM], root[2][TILE];
    for (int64_t first = 0; first < l->ins;) {
        const Tile t = tile_at(l, unit, first);
        const float *restrict x = f->inputs + t.inputs;
        const float *restrict eps = each ? f->eps + t.eps : NULL;
        float *restrict by_mu = f->by_maps + t.row[0] * batch;
        float *restrict by_rho = f->by_maps + t.row[1] * batch;
        float *restrict by_x = by_inputs + first * batch;
        for (int which = 0; which < 2; which++) {
            roots(l, &t, f->var + t.row[which], root[which]);
            normalise(l, &t, which, f->maps, f->scale, f->shift, f->mean + t.row[which],
                      root[which], which ? sigma : mu);
        }
        to_sigma(t.count, sigma, share, slope);
        /* a closed form needs mu as well, and `share` not yet */
        float *restrict w = kl == CLOSED ? share : mu;
        if (each)
#pragma omp simd
            for (int64_t n = 0; n < t.count; n++)
                w[n] = mu[n] + sigma[n] * eps[n];
        for (int64_t i = 0; i < t.rows; i++)
#pragma omp simd
            for (int64_t b = 0; b < batch; b++) {
                const int64_t n = i * batch + b;
                const float outer = by_h[b] * x[n];
                by_mu[n] = outer;
                if (each) {
                    by_rho[n] = outer * eps[n];
                    by_x[n] += by_h[b] * w[n];
                } else {
                    const float noise = outer * over[b] * sigma[n];
                    by_rho[n] = noise * x[n];
                    by_x[n] += by_h[b] * mu[n] + noise * sigma[n];
                }
            }
        if (kl == CLOSED)
#pragma omp simd
            for (int64_t n = 0; n < t.count; n++) {
                by_mu[n] += weight * 2 * l->half * mu[n];
                by_rho[n] += weight * (2 * l->half * sigma[n] - 1 / sigma[n]);
            }
        if (kl == MIXTURE) {
            log_ratios(l, t.count, w, share);
#pragma omp simd
            for (int64_t n = 0; n < t.count; n++)
                share[n] = 1.0f / (1.0f + exp_of(-share[n]));
        }
        if (kl == SAMPLED || kl == MIXTURE)
#pragma omp simd
            for (int64_t n = 0; n < t.count; n++) {
                const float spike = kl == MIXTURE ? 2 * l->excess * share[n] : 0.0f;
                const float by_w = weight * (2 * l->half + spike) * w[n];
                by_mu[n] += by_w;
                by_rho[n] += by_w * eps[n] - weight / sigma[n];
            }
#pragma omp simd
        for (int64_t n = 0; n < t.count; n++)
            by_rho[n] *= slope[n];
        denormalise(l, f, &t, 0, root[0]);
        denormalise(l, f, &t, 1, root[1]);
        first += t.rows;
    }
}

/* One copy of the loops for each kind of layer, so that no loop has a branch. */
WIDEST static void forward_unit(const Layer *l, const Forward *f, int64_t unit)
{
    if (!l->each_weight && l->kl == NO_KL)
        forward_as(l, f, unit, 0, NO_KL);
    else if (!l->each_weight)
        forward_as(l, f, unit, 0, CLOSED);
    else if (l->kl == NO_KL)
        forward_as(l, f, unit, 1, NO_KL);
    else if (l->kl == CLOSED)
        forward_as(l, f, unit, 1, CLOSED);
    else if (l->kl == SAMPLED)
        forward_as(l, f, unit, 1, SAMPLED);
    else
        forward_as(l, f, unit, 1, MIXTURE);
}

WIDEST static void backward_unit(const Layer *l, const Backward *f, int64_t unit,
                                 float *by_inputs)
{
    if (!l->each_weight && l->kl == NO_KL)
        backward_as(l, f, unit, by_inputs, 0, NO_KL);
    else if (!l->each_weight)
        backward_as(l, f, unit, by_inputs, 0, CLOSED);
    else if (l->kl == NO_KL)
        backward_as(l, f, unit, by_inputs, 1, NO_KL);
    else if (l->kl == CLOSED)
        backward_as(l, f, unit, by_inputs, 1, CLOSED);
    else if (l->kl == SAMPLED)
        backward_as(l, f, unit, by_inputs, 1, SAMPLED);
    else
        backward_as(l, f, unit, by_inputs, 1, MIXTURE);
}

void comvae_forward(const Layer *l, const Forward *f)
{
    const int64_t units = l->seeds * l->outs;
#pragma omp parallel for num_threads(l->threads) if (l->threads > 1)
    for (int64_t unit = 0; unit < units; unit++)
        forward_unit(l, f, unit);
}

/* by_inputs is all zero before; a part is `outs_together` outputs of one seed */
void comvae_backward(const Layer *l, const Backward *f)
{
    const int64_t parts = (l->outs + l->outs_together - 1) / l->outs_together;
#pragma omp parallel for num_threads(l->threads) if (l->threads > 1)
    for (int64_t part = 0; part < l->seeds * parts; part++) {
        const int64_t seed = part / parts, first = part % parts * l->outs_together;
        const int64_t end = first + l->outs_together;
        float *own = f->by_inputs + part * l->ins * l->batch;
        for (int64_t out = first; out < (end < l->outs ? end : l->outs); out++)
            backward_unit(l, f, seed * l->outs + out, own);
    }
}
