/* A DBNN layer as its kernels see it; native.py has the same fields. */

#ifndef COMVAE_LAYERS_H
#define COMVAE_LAYERS_H

#include <stdint.h>

#include "adam.h"

enum { NO_KL, CLOSED, SAMPLED, MIXTURE }; /* in the order of KINDS in native.py */

/* All shapes and numbers of a layer. */
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

/* The gradient of a map is left right. */
typedef struct {
    float *weight, *mean, *square;  /* (seeds, rows, columns) */
    const float *left, *right;      /* (seeds, rows, batch), (seeds, batch, columns) */
    int64_t seeds, rows, columns, batch;
    int32_t threads;
    Adam adam;
} LowRank;

/* `to` is, or grows by, the product of the weights of each seed with what all images have. */
typedef struct {
    const float *weight, *from; /* from: (seeds, terms, batch) */
    float *to;                  /* (seeds, rows, batch) */
    int64_t seeds, rows, terms, batch;
    int64_t row, term; /* from a weight to that of the next row, of the next term */
    int64_t weight_apart, from_apart, to_apart; /* from one seed to the next */
    int32_t adds, threads;
} Product;

void comvae_forward(const Layer *l, const Forward *f);
void comvae_backward(const Layer *l, const Backward *f);
void comvae_low_rank_adam(const LowRank *l);
void comvae_product(const Product *p);

#endif
