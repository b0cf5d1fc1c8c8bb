/* A training step of an encoder of DBNN layers, on a CPU (sections 2.2 and 2.2.3).

   Maps, batch norm, weights, products and KL of each layer, batch norm and ReLU between
   the layers, their gradients and Adam: two calls a step, one each way, in place of the
   hundred of a tensor library. What each layer's own kernels do is in native.c and
   low_rank.c; here is what lies between them. */

#include <string.h>

#include "layers.h"

/* dynamic.py has the same fields. */
typedef struct {
    float *weight, *mean, *square; /* with Adam's moments */
} Param;

typedef struct {
    Param gamma, beta; /* (seeds, features) */
    float *running_mean, *running_var;
} Norm;

/* A layer, and batch norm with ReLU of its output, where another layer follows */
typedef struct {
    Param map; /* (seeds, 2 outs ins, ins - 1); the last input is 1, for the bias */
    Norm maps_norm, norm; /* `norm` has no gamma where there is none */
    const float *eps; /* (seeds, outs, ins, batch) or (seeds, outs, batch) */
    float *inputs, *rows; /* (seeds, ins, batch); (seeds, batch, ins - 1) */
    float *maps, *by_maps; /* (seeds, 2, outs, ins, batch) */
    float *h, *spread, *by_h; /* (seeds, outs, batch) */
    float *mean, *var, *by_gamma, *by_beta; /* of the maps, (seeds, 2 outs ins) */
    float *by_inputs; /* (seeds, parts, ins, batch) */
    double *nats; /* (seeds, outs) */
    Layer layer; /* with the KL */
} Dynamic;

typedef struct {
    const Dynamic *layers;
    const float *x; /* (seeds, batch, pixels) */
    float *outputs, *kl; /* (seeds, batch, outs of the last); (seeds) */
    const float *by_outputs, *by_kl;
    int32_t count, with_kl;
    float momentum, share; /* `share` of an image's nats in the KL of the layer */
    Adam adam;
} Encoder;

enum { PART = 4096 }; /* parameters that a thread updates at a time */

static Layer shape_of(const Encoder *e, const Dynamic *d)
{
    Layer l = d->layer;
    if (!e->with_kl) {
        l.kl = NO_KL;
        l.each_weight = 0;
    }
    return l;
}

static void adam(const Encoder *e, const Layer *l, int64_t count, const float *by, Param p)
{
    const int64_t parts = (count + PART - 1) / PART;
    const unsigned mode = float_mode();
#pragma omp parallel for num_threads(l->threads) if (l->threads > 1)
    for (int64_t i = 0; i < l->seeds * parts; i++) {
        take_over(mode);
        const int64_t first = i % parts * PART, at = i / parts * count + first;
        adam_row(&e->adam, smaller(PART, count - first), by + at, p.weight + at, p.mean + at,
                 p.square + at);
    }
}

/* Moves running statistics towards those of the batch. */
static void follow(const Encoder *e, const Layer *l, int64_t count, const float *mean,
                   const float *var, const Norm *n)
{
    const float unbiased = (float)l->batch / (float)(l->batch - 1);
    for (int64_t i = 0; i < count; i++) {
        n->running_mean[i] += e->momentum * (mean[i] - n->running_mean[i]);
        n->running_var[i] += e->momentum * (var[i] * unbiased - n->running_var[i]);
    }
}

/* (rows, columns) -> (columns, rows) */
static void turn(const float *from, int64_t rows, int64_t columns, float *to)
{
    for (int64_t c = 0; c < columns; c++)
        for (int64_t r = 0; r < rows; r++)
            to[c * rows + r] = from[r * columns + c];
}

/* Mean and biased variance of a feature over the images */
static void moments(const float *h, int64_t batch, float *mean, float *var)
{
    double sum = 0, squares = 0;
    for (int64_t b = 0; b < batch; b++)
        sum += (double)h[b];
    *mean = (float)(sum / (double)batch);
    for (int64_t b = 0; b < batch; b++)
        squares += (double)((h[b] - *mean) * (h[b] - *mean));
    *var = (float)(squares / (double)batch);
}

/* Batch norm and ReLU of a layer's output: the inputs of the next */
static void activate(const Encoder *e, const Dynamic *d, const Dynamic *next)
{
    const Layer *l = &d->layer;
    for (int64_t i = 0; i < l->seeds * l->outs; i++) {
        const float *h = d->h + i * l->batch;
        float *to = next->inputs + (i / l->outs * next->layer.ins + i % l->outs) * l->batch;
        float mean = 0, scale = 1, shift = 0;
        if (d->norm.gamma.weight) {
            float var;
            moments(h, l->batch, &mean, &var);
            scale = d->norm.gamma.weight[i] / __builtin_sqrtf(var + l->norm_eps);
            shift = d->norm.beta.weight[i];
            const Norm own = {.running_mean = d->norm.running_mean + i,
                              .running_var = d->norm.running_var + i};
            follow(e, l, 1, &mean, &var, &own);
        }
        for (int64_t b = 0; b < l->batch; b++) {
            const float value = (h[b] - mean) * scale + shift;
            to[b] = value < 0 ? 0 : value; /* what is not a number stays so */
        }
    }
}

/* The gradient of a layer's output from that of the next layer's inputs, `by` */
static void activate_backward(const Encoder *e, const Dynamic *d, const Dynamic *next,
                              const float *by, int64_t apart)
{
    const Layer *l = &d->layer;
    const int64_t features = l->seeds * l->outs, batch = l->batch;
    float by_gamma[features], by_beta[features];
    for (int64_t i = 0; i < features; i++) {
        const int64_t seed = i / l->outs, out = i % l->outs;
        const float *h = d->h + i * batch, *from = by + seed * apart + out * batch;
        const float *open = next->inputs + (seed * next->layer.ins + out) * batch;
        float *to = d->by_h + i * batch;
        for (int64_t b = 0; b < batch; b++)
            to[b] = open[b] > 0 ? from[b] : 0;
        if (!d->norm.gamma.weight)
            continue;
        float mean, var;
        moments(h, batch, &mean, &var);
        const float root = 1 / __builtin_sqrtf(var + l->norm_eps);
        double sum = 0, along = 0;
        for (int64_t b = 0; b < batch; b++) {
            sum += (double)to[b];
            along += (double)(to[b] * (h[b] - mean) * root);
        }
        by_beta[i] = (float)sum;
        by_gamma[i] = (float)along;
        const float offset = by_beta[i] / (float)batch, slope = by_gamma[i] / (float)batch;
        const float scale = d->norm.gamma.weight[i] * root;
        for (int64_t b = 0; b < batch; b++)
            to[b] = scale * (to[b] - offset - (h[b] - mean) * root * slope);
    }
    if (d->norm.gamma.weight) {
        adam(e, l, l->outs, by_gamma, d->norm.gamma);
        adam(e, l, l->outs, by_beta, d->norm.beta);
    }
}

/* Noise of the outputs, where there is one draw for each; `spread` becomes its slope. */
static void add_noise(const Dynamic *d)
{
    const Layer *l = &d->layer;
    for (int64_t i = 0; i < l->seeds * l->outs * l->batch; i++) {
        const float variance = d->spread[i];
        /* no variance, no noise: its gradient is zero then, not infinite */
        d->spread[i] = variance > 0 ? d->eps[i] / __builtin_sqrtf(variance) : 0;
        d->h[i] += variance * d->spread[i];
    }
}

static void layer_forward(const Encoder *e, const Dynamic *d)
{
    const Layer l = shape_of(e, d);
    const int64_t rows = 2 * l.outs * l.ins, terms = l.ins - 1;
    for (int64_t seed = 0; seed < l.seeds; seed++) {
        float *inputs = d->inputs + seed * l.ins * l.batch;
        for (int64_t b = 0; b < l.batch; b++)
            inputs[terms * l.batch + b] = 1;
        if (d != e->layers) /* the images have theirs */
            turn(inputs, terms, l.batch, d->rows + seed * terms * l.batch);
    }
    const Product product = {
        .weight = d->map.weight, .from = d->inputs, .to = d->maps, .seeds = l.seeds,
        .rows = rows, .terms = terms, .batch = l.batch, .row = terms, .term = 1,
        .weight_apart = rows * terms, .from_apart = l.ins * l.batch,
        .to_apart = rows * l.batch, .threads = l.threads};
    comvae_product(&product);
    const Forward forward = {
        d->maps, d->inputs, d->eps, d->maps_norm.gamma.weight, d->maps_norm.beta.weight,
        d->mean, d->var, d->h, d->spread, d->nats};
    comvae_forward(&l, &forward);
    follow(e, &l, l.seeds * rows, d->mean, d->var, &d->maps_norm);
    if (!l.each_weight)
        add_noise(d);
    for (int64_t i = 0; l.kl != NO_KL && i < l.seeds; i++) {
        double nats = 0;
        for (int64_t out = 0; out < l.outs; out++)
            nats += d->nats[i * l.outs + out];
        e->kl[i] += (float)nats * e->share;
    }
}

/* The images, and noise for each layer, to the outputs of the last layer and the KL */
void comvae_encode(const Encoder *e)
{
    const Dynamic *first = e->layers, *last = first + e->count - 1;
    const Layer *l = &first->layer, *end = &last->layer;
    const int64_t pixels = l->ins - 1, batch = l->batch;
    memset(e->kl, 0, l->seeds * sizeof *e->kl);
    for (int64_t seed = 0; seed < l->seeds; seed++)
        turn(e->x + seed * batch * pixels, batch, pixels, first->inputs + seed * l->ins * batch);
    for (const Dynamic *d = first; d <= last; d++) {
        layer_forward(e, d);
        if (d < last)
            activate(e, d, d + 1);
    }
    for (int64_t seed = 0; seed < l->seeds; seed++)
        turn(last->h + seed * end->outs * batch, end->outs, batch,
             e->outputs + seed * end->outs * batch);
}

/* The gradient of a layer from that of its output, and Adam; gives that of its inputs to
   the layer before. */
static void layer_backward(const Encoder *e, const Dynamic *d)
{
    const Layer l = shape_of(e, d);
    const int64_t rows = 2 * l.outs * l.ins, terms = l.ins - 1, size = l.ins * l.batch;
    const int64_t parts = (l.outs + l.outs_together - 1) / l.outs_together;
    memset(d->by_inputs, 0, l.seeds * parts * size * sizeof *d->by_inputs);
    const Backward backward = {
        d->maps, d->inputs, d->eps, d->spread, d->maps_norm.gamma.weight,
        d->maps_norm.beta.weight, d->mean, d->var, d->by_h, e->by_kl, d->by_maps,
        d->by_inputs, d->by_gamma, d->by_beta};
    comvae_backward(&l, &backward);
    if (d != e->layers) {
        for (int64_t seed = 0; seed < l.seeds; seed++) {
            float *sum = d->by_inputs + seed * parts * size;
            for (int64_t i = size; i < parts * size; i++)
                sum[i % size] += sum[i];
        }
        const Product product = {
            .weight = d->map.weight, .from = d->by_maps, .to = d->by_inputs,
            .seeds = l.seeds, .rows = terms, .terms = rows, .batch = l.batch, .row = 1,
            .term = terms, .weight_apart = rows * terms, .from_apart = rows * l.batch,
            .to_apart = parts * size, .adds = 1, .threads = l.threads};
        comvae_product(&product);
        activate_backward(e, d - 1, d, d->by_inputs, parts * size);
    }
    const LowRank map = {
        d->map.weight, d->map.mean, d->map.square, d->by_maps,
        d == e->layers ? e->x : d->rows, l.seeds, rows, terms, l.batch, l.threads, e->adam};
    comvae_low_rank_adam(&map);
    adam(e, &l, rows, d->by_gamma, d->maps_norm.gamma);
    adam(e, &l, rows, d->by_beta, d->maps_norm.beta);
}

/* The step of all parameters from the gradients of `outputs` and `kl` */
void comvae_encode_backward(const Encoder *e)
{
    const Dynamic *last = e->layers + e->count - 1;
    const Layer *l = &last->layer;
    const int64_t size = l->outs * l->batch;
    for (int64_t seed = 0; seed < l->seeds; seed++)
        turn(e->by_outputs + seed * size, l->batch, l->outs, last->by_h + seed * size);
    for (const Dynamic *d = last; d >= e->layers; d--)
        layer_backward(e, d);
}
