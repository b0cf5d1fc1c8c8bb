/* The plain layers of training steps, on a CPU (section 3.1).

   Latents, decoder, likelihood, latent KL, their gradients and Adam in one call, and the
   encoder too where it is plain: for such small layers the call of a tensor library costs
   more than its arithmetic, and so does each call of this one, which therefore takes
   several steps where all layers are plain. Images run along the last axis, in vectors; the images of a
   batch that is no multiple of them are filled up with blank ones of weight zero. What is
   zero is skipped: pixels without ink, units that ReLU shuts. The gradient of a weight is
   never written: Adam takes it from the registers.

   Whole seeds, with all steps, are shared out among the threads, and what is left over is
   worked at by all of them, row by row. No sum depends on how. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "adam.h"
#include "product.h"

enum { COLUMNS = 8 }; /* vectors of a row of weights that are updated at a time */

/* All shapes, numbers and arrays; plain.py has the same fields. */
typedef struct {
    int64_t ins, outs;
    float *weight, *bias; /* (seeds, ins, outs), (seeds, outs) */
    float *weight_mean, *bias_mean, *weight_square, *bias_square; /* Adam's moments */
} Dense;

typedef struct {
    const Dense *dense; /* of the encoder, where it is plain, then of the decoder */
    const float *outputs; /* else what the encoder gave, (seeds, batch, 2 latent), */
    float *by_outputs;    /* and its gradient */
    const void *images; /* (.., pixels), of `bytes` each: uint8, int16 or float32 */
    const int64_t *chosen; /* (seeds, steps, batch), seeds `apart` */
    const float *eps, *alive; /* (seeds, steps, batch, latent), (seeds) */
    const Adam *adam; /* (steps) */
    double *reconstruction, *latent_kl; /* (seeds), the images' sums are added */
    float *workspace; /* `floats` for each thread */
    int64_t seeds, steps, batch, apart, latent, floats;
    int32_t bytes, encoder, layers, threads, exponential;
    float pixel_max, share, tiny; /* `share` of an image's terms in the loss */
} Step;

/* What one seed's pass through a layer leaves, each with the images last; `rows` is
   by_out with the images first. */
typedef struct {
    float *in, *by_out, *rows;
    int32_t *busy, *images; /* of each input: how many images are not zero, and which */
} Pass;

/* One of `parts` threads at work on a seed's step number `now` */
typedef struct {
    const Step *step;
    int64_t seed, now, padded;
    int part, parts;
    Pass *passes;
    float *x, *outputs, *by_outputs, *by_z;
    float *nats; /* of each ROWS pixels */
} Work;

INLINE int64_t padded(int64_t batch) { return (batch + TOGETHER - 1) / TOGETHER * TOGETHER; }

INLINE int64_t pixels_of(const Step *s) { return s->dense[s->layers - 1].outs; }

/* The rows of `count` that are this thread's, in whole groups of ROWS */
INLINE void own_rows(const Work *w, int64_t count, int64_t *first, int64_t *end)
{
    const int64_t groups = (count + ROWS - 1) / ROWS;
    *first = groups * w->part / w->parts * ROWS;
    *end = smaller(groups * (w->part + 1) / w->parts * ROWS, count);
}

INLINE void wait_for_others(const Work *w)
{
    if (w->parts > 1) {
#pragma omp barrier
    }
}

/* Rows first .. end of from, (.., width), with the images first: to is (images, all) */
static void turn(const float *from, int64_t width, float *to, int64_t all, int64_t first,
                 int64_t end, int64_t images)
{
    for (int64_t b = 0; b < images; b++)
        for (int64_t r = first; r < end; r++)
            to[b * all + r] = from[r * width + b];
}

/* The minibatch's images, in [0, 1] */
static void read_images(const Work *w)
{
    const Step *s = w->step;
    const int64_t pixels = pixels_of(s), *chosen = s->chosen + w->seed * s->apart + w->now * s->batch;
    float *to = w->x;
    int64_t first, end;
    own_rows(w, pixels, &first, &end);
    for (int64_t b = 0; b < w->padded; b++) {
        const int64_t from = b < s->batch ? chosen[b] * pixels : -1;
#define READ(type)                                                                      \
    for (int64_t p = first; p < end; p++)                                               \
        to[p * w->padded + b] =                                                         \
            from < 0 ? 0 : (float)((const type *)s->images)[from + p] / s->pixel_max
        switch (s->bytes) {
        case 1: READ(uint8_t); break;
        case 2: READ(int16_t); break;
        default: READ(float);
        }
#undef READ
    }
}

/* The outputs of a layer, ReLU'd or not */
static void forward(const Work *w, int layer, float *to, int shut)
{
    const Dense *d = w->step->dense + layer;
    const float *weight = d->weight + w->seed * d->ins * d->outs;
    const float *bias = d->bias + w->seed * d->outs, *in = w->passes[layer].in;
    int64_t first, end;
    own_rows(w, d->outs, &first, &end);
    for (int64_t r = first; r < end; r++)
        for (int64_t b = 0; b < w->padded; b += LANES)
            store(to + r * w->padded + b, all(bias[r]), LANES);
    int32_t busy[d->ins];
    const int64_t count = list_busy(in, d->ins, w->padded, busy);
    product(weight, 1, d->outs, first, end, busy, count, in, to, w->padded);
    for (int64_t i = first * w->padded; shut && i < end * w->padded; i += LANES)
        store(to + i, positive(load(to + i, LANES)), LANES);
}

/* By which the terms of each image count in the loss; blank images do not. */
INLINE Vector weight_of(const Work *w, int64_t b)
{
    const Step *s = w->step;
    float weights[LANES];
    for (int n = 0; n < LANES; n++)
        weights[n] = b + n < s->batch ? s->alive[w->seed] * s->share : 0;
    return load(weights, LANES);
}

INLINE Vector exponential_of(Vector x)
{
    const Vector decayed = decay(magnitude(x));
    return select(x < 0, decayed, 1.0f / decayed);
}

/* Scale of the latents and its slope, from the encoder's output */
INLINE Vector scale_of(const Step *s, Vector output, Vector *slope)
{
    if (s->exponential) {
        const Vector scale = exponential_of(0.5f * output);
        *slope = 0.5f * scale;
        return scale;
    }
    const Vector decayed = decay(magnitude(output));
    *slope = select(output < 0, decayed, all(1)) / (1.0f + decayed);
    return softplus_of(output, decayed) + s->tiny;
}

INLINE Vector noise_of(const Work *w, int64_t latent, int64_t b)
{
    const Step *s = w->step;
    float eps[LANES];
    for (int n = 0; n < LANES; n++)
        eps[n] = b + n < s->batch
                     ? s->eps[((w->seed * s->steps + w->now) * s->batch + b + n) * s->latent + latent]
                     : 0;
    return load(eps, LANES);
}

/* Adds numbers of the images, but for the blank ones, to *sum. */
static void add_up(const Work *w, int64_t b, Vector numbers, double *sum)
{
    for (int64_t n = 0; n < LANES && b + n < w->step->batch; n++)
        *sum += (double)numbers[n];
}

/* The outputs of an encoder that is not plain */
static void read_outputs(const Work *w)
{
    const Step *s = w->step;
    const int64_t outputs = 2 * s->latent;
    for (int64_t i = 0; i < outputs; i++)
        for (int64_t b = 0; b < w->padded; b++)
            w->outputs[i * w->padded + b] =
                b < s->batch ? s->outputs[(w->seed * s->batch + b) * outputs + i] : 0;
}

/* z and the latent KL, from the encoder's outputs */
static void draw_latents(const Work *w)
{
    const Step *s = w->step;
    float *z = w->passes[s->encoder].in;
    for (int64_t b = 0; b < w->padded; b += LANES) {
        Vector kl = {0}, slope;
        for (int64_t i = 0; i < s->latent; i++) {
            const Vector mean = load(w->outputs + i * w->padded + b, LANES);
            const Vector output = load(w->outputs + (s->latent + i) * w->padded + b, LANES);
            const Vector scale = scale_of(s, output, &slope);
            store(z + i * w->padded + b, mean + scale * noise_of(w, i, b), LANES);
            kl += 0.5f * (mean * mean + scale * scale - 1.0f) - log_of(scale);
        }
        add_up(w, b, kl, s->latent_kl + w->seed);
    }
}

/* The gradient of the encoder's outputs from that of z */
static void latents_backward(const Work *w)
{
    const Step *s = w->step;
    float *by_out = w->by_outputs, *rows = s->by_outputs + w->seed * s->batch * 2 * s->latent;
    if (s->encoder) {
        by_out = w->passes[s->encoder - 1].by_out;
        rows = w->passes[s->encoder - 1].rows;
    }
    for (int64_t b = 0; b < w->padded; b += LANES)
        for (int64_t i = 0; i < s->latent; i++) {
            const int64_t at_mean = i * w->padded + b;
            const int64_t at_scale = (s->latent + i) * w->padded + b;
            const Vector weight = weight_of(w, b), by = load(w->by_z + at_mean, LANES);
            const Vector mean = load(w->outputs + at_mean, LANES);
            Vector slope;
            const Vector scale = scale_of(s, load(w->outputs + at_scale, LANES), &slope);
            const Vector by_scale = by * noise_of(w, i, b) + weight * (scale - 1.0f / scale);
            store(by_out + at_mean, by + weight * mean, LANES);
            store(by_out + at_scale, by_scale * slope, LANES);
        }
    turn(by_out, w->padded, rows, 2 * s->latent, 0, 2 * s->latent, s->batch);
}

/* Logits become their gradient, in place; the nats of each ROWS pixels go to `nats`. */
static void likelihood(const Work *w)
{
    const Step *s = w->step;
    const Pass *last = w->passes + s->layers - 1;
    const int64_t pixels = pixels_of(s);
    int64_t first, end;
    own_rows(w, pixels, &first, &end);
    for (int64_t p = first; p < end; p += ROWS)
        for (int64_t b = 0; b < w->padded; b += LANES) {
            const Vector weight = weight_of(w, b);
            Vector nats = {0}, product = all(1);
            for (int64_t r = p; r < smaller(p + ROWS, end); r++) {
                float *at = last->by_out + r * w->padded + b;
                const Vector logit = load(at, LANES);
                const Vector x = load(w->x + r * w->padded + b, LANES);
                const Vector decayed = decay(magnitude(logit)), u = 1.0f + decayed;
                nats += positive(logit) - logit * x;
                product *= u;
                const Vector sigmoid = select(logit < 0, decayed, all(1)) / u;
                store(at, weight * (sigmoid - x), LANES);
            }
            store(w->nats + p / ROWS * w->padded + b, nats + log_of(product), LANES);
        }
    turn(last->by_out, w->padded, last->rows, pixels, first, end, s->batch);
}

static void add_reconstruction(const Work *w)
{
    const Step *s = w->step;
    const int64_t groups = (pixels_of(s) + ROWS - 1) / ROWS;
    for (int64_t b = 0; b < w->padded; b += LANES) {
        Vector nats = {0};
        for (int64_t g = 0; g < groups; g++)
            nats += load(w->nats + g * w->padded + b, LANES);
        add_up(w, b, nats, s->reconstruction + w->seed);
    }
}

/* The gradient of a layer's inputs; where ReLU shut them it is zero. */
static void backward(const Work *w, int layer, float *by_in, int shut)
{
    const Dense *d = w->step->dense + layer;
    const Pass *pass = w->passes + layer;
    int64_t first, end;
    own_rows(w, d->ins, &first, &end);
    memset(by_in + first * w->padded, 0, (end - first) * w->padded * sizeof *by_in);
    int32_t busy[d->outs];
    const int64_t count = list_busy(pass->by_out, d->outs, w->padded, busy);
    product(d->weight + w->seed * d->ins * d->outs, d->outs, 1, first, end, busy, count,
            pass->by_out, by_in, w->padded);
    if (!shut)
        return;
    for (int64_t i = first * w->padded; i < end * w->padded; i += LANES) {
        const Vector by = load(by_in + i, LANES);
        store(by_in + i, select(load(pass->in + i, LANES) > 0, by, all(0)), LANES);
    }
    turn(by_in, w->padded, w->passes[layer - 1].rows, d->ins, first, end, w->step->batch);
}

/* Some columns of a row of weights: the gradient, which is the sum over the images of
   the input times that of the output, and Adam */
INLINE void update_columns(int vectors, const Adam *adam, int64_t first, int64_t outs,
                           int count, const int32_t *images, const float *in,
                           const float *rows, float *weight, float *mean, float *square)
{
    const int64_t end = smaller(first + (vectors - 1) * LANES, outs - LANES);
    Vector by[COLUMNS];
    EACH(v, vectors)
    by[v] = all(0);
    for (int n = 0; n < count; n++) {
        const float x = in[images[n]], *row = rows + images[n] * outs;
        EACH(v, vectors - 1)
        by[v] += x * load(row + first + v * LANES, LANES);
        by[vectors - 1] += x * load(row + end, LANES);
    }
    adam_columns(adam, vectors, by, first, end, weight, mean, square);
}

/* A row that is shorter than a vector */
static void update_short(const Adam *adam, int64_t outs, int count, const int32_t *images,
                         const float *in, const float *rows, float *weight, float *mean,
                         float *square)
{
    float by[LANES] = {0};
    for (int n = 0; n < count; n++)
        for (int64_t i = 0; i < outs; i++)
            by[i] += in[images[n]] * rows[images[n] * outs + i];
    adam_row(adam, outs, by, weight, mean, square);
}

static void update_row(const Adam *adam, int64_t first, int64_t vectors, int64_t outs,
                       int count, const int32_t *images, const float *in,
                       const float *rows, float *weight, float *mean, float *square)
{
#define UPDATE(vectors)                                                                 \
    update_columns(vectors, adam, first, outs, count, images, in, rows, weight, mean, square)
    switch (vectors) {
    case 0: update_short(adam, outs, count, images, in, rows, weight, mean, square); break;
    case 1: UPDATE(1); break;
    case 2: UPDATE(2); break;
    case 3: UPDATE(3); break;
    case 4: UPDATE(4); break;
    case 5: UPDATE(5); break;
    case 6: UPDATE(6); break;
    case 7: UPDATE(7); break;
    default: UPDATE(COLUMNS);
    }
#undef UPDATE
}

/* Adam of a layer's weights, and of its bias: the weights of an input that is one */
static void update(const Work *w, int layer)
{
    const Step *s = w->step;
    const Adam *adam = s->adam + w->now;
    const Dense *d = s->dense + layer;
    const Pass *pass = w->passes + layer;
    const int64_t outs = d->outs, vectors = outs < LANES ? 0 : (outs + LANES - 1) / LANES;
    const int64_t blocks = vectors ? (vectors + COLUMNS - 1) / COLUMNS : 1;
    int64_t first, end;
    own_rows(w, d->ins, &first, &end);
    for (int64_t i = first; i < end; i++) {
        const float *in = pass->in + i * w->padded;
        int32_t count = 0, *images = pass->images + i * w->padded;
        for (int b = 0; b < s->batch; b++) {
            images[count] = b;
            count += in[b] != 0;
        }
        pass->busy[i] = count;
    }
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t from = block * vectors / blocks, to = (block + 1) * vectors / blocks;
        for (int64_t i = first; i < end; i++) {
            const int64_t at = (w->seed * d->ins + i) * outs;
            update_row(adam, from * LANES, to - from, outs, pass->busy[i],
                       pass->images + i * w->padded, pass->in + i * w->padded, pass->rows,
                       d->weight + at, d->weight_mean + at, d->weight_square + at);
        }
    }
    if (w->part)
        return;
    float ones[s->batch];
    int32_t each[s->batch];
    for (int b = 0; b < s->batch; b++) {
        ones[b] = 1;
        each[b] = b;
    }
    const int64_t at = w->seed * outs;
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t from = block * vectors / blocks, to = (block + 1) * vectors / blocks;
        update_row(adam, from * LANES, to - from, outs, (int)s->batch, each, ones, pass->rows,
                   d->bias + at, d->bias_mean + at, d->bias_square + at);
    }
}

/* Shares out a workspace. */
static int64_t lay_out(const Step *s, Work *w, float *from)
{
    float *const start = from;
    for (int i = 0; i < s->layers; i++) {
        const Dense *d = s->dense + i;
        w->passes[i].in = from;
        w->passes[i].by_out = from += d->ins * w->padded;
        w->passes[i].rows = from += d->outs * w->padded;
        w->passes[i].images = (int32_t *)(from += d->outs * w->padded);
        w->passes[i].busy = (int32_t *)(from += d->ins * w->padded);
        from += (d->ins + LANES - 1) / LANES * LANES;
    }
    w->outputs = from;
    w->by_outputs = from += 2 * s->latent * w->padded;
    w->by_z = from += 2 * s->latent * w->padded;
    w->nats = from += s->latent * w->padded;
    w->x = from += (pixels_of(s) + ROWS - 1) / ROWS * w->padded;
    if (s->encoder)
        w->x = w->passes->in;
    else
        from += pixels_of(s) * w->padded;
    return from - start;
}

int64_t comvae_plain_floats(const Step *s)
{
    Pass passes[s->layers];
    Work w = {.step = s, .padded = padded(s->batch), .passes = passes};
    return lay_out(s, &w, NULL);
}

static void step_of_seed(const Step *s, int64_t seed, int64_t now, int part, int parts,
                         float *workspace)
{
    Pass passes[s->layers];
    Work work = {
        .step = s, .seed = seed, .now = now, .padded = padded(s->batch), .part = part,
        .parts = parts, .passes = passes};
    const Work *w = &work;
    const int last = s->layers - 1;
    lay_out(s, &work, workspace);
    read_images(w);
    if (!s->encoder && part == 0)
        read_outputs(w);
    wait_for_others(w);
    for (int i = 0; i < s->layers; i++) {
        if (i == s->encoder) {
            if (part == 0)
                draw_latents(w);
            wait_for_others(w);
        }
        if (i == last) {
            forward(w, i, passes[i].by_out, 0);
            likelihood(w);
        } else if (i == s->encoder - 1) {
            forward(w, i, w->outputs, 0);
        } else {
            forward(w, i, passes[i + 1].in, 1);
        }
        wait_for_others(w);
    }
    if (part == parts - 1)
        add_reconstruction(w);
    for (int i = last; i >= 0; i--) {
        if (i == s->encoder) {
            backward(w, i, w->by_z, 0);
            wait_for_others(w);
            if (part == 0)
                latents_backward(w);
            wait_for_others(w);
        } else if (i > 0) {
            backward(w, i, passes[i - 1].by_out, 1);
            wait_for_others(w);
        }
        update(w, i);
    }
    wait_for_others(w);
}

void comvae_plain_steps(const Step *s)
{
    const unsigned mode = float_mode();
#pragma omp parallel num_threads(s->threads) if (s->threads > 1)
    {
        int part = 0, parts = 1;
#ifdef _OPENMP
        part = omp_get_thread_num();
        parts = omp_get_num_threads();
#endif
        take_over(mode);
        const int64_t whole = s->seeds / parts * parts;
        for (int64_t seed = part; seed < whole; seed += parts)
            for (int64_t now = 0; now < s->steps; now++)
                step_of_seed(s, seed, now, 0, 1, s->workspace + part * s->floats);
        if (whole < s->seeds) {
#pragma omp barrier
        }
        for (int64_t seed = whole; seed < s->seeds; seed++)
            for (int64_t now = 0; now < s->steps; now++)
                step_of_seed(s, seed, now, part, parts, s->workspace);
    }
}
