"""A linear map followed by batch norm over the images (paper, section 2.2.3).

The gradient is written by hand, as that of dynamic.py, for the same reasons.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from comvae.model.pieces import pieces

NORM_EPS = 1e-5


def normalised_map(
    weight: Tensor, gamma: Tensor, beta: Tensor, columns: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """gamma (M x - mean) / sd + beta with the batch's own statistics, as of
    `torch.nn.BatchNorm1d`; beside it the mean and the biased variance.

    `weight` is (seeds, size, fan_in), `gamma` and `beta` (seeds, size), `columns`
    (seeds, fan_in, batch), the result (seeds, size, batch), mean and variance
    (seeds, size).
    """
    return _NormalisedMap.apply(weight, gamma, beta, columns)


class _NormalisedMap(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, weight: Tensor, gamma: Tensor, beta: Tensor, columns: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        seeds, size, _ = weight.shape
        batch = columns.shape[2]
        out = columns.new_empty(seeds, size, batch)
        mean, variance = torch.empty_like(gamma), torch.empty_like(gamma)
        average = columns.new_full((batch,), 1 / batch)
        centred = []
        for s, rows in pieces(seeds, size, batch, columns):
            z = torch.bmm(weight[s, rows], columns[s])
            torch.matmul(z, average, out=mean[s, rows])
            z -= mean[s, rows].unsqueeze(2)
            torch.linalg.vecdot(z, z, out=variance[s, rows])
            variance[s, rows] /= batch
            scale = gamma[s, rows] * (variance[s, rows] + NORM_EPS).rsqrt()
            torch.mul(z, scale.unsqueeze(2), out=out[s, rows])
            out[s, rows] += beta[s, rows].unsqueeze(2)
            centred.append(z)
        ctx.save_for_backward(weight, gamma, variance, columns, *centred)
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx: FunctionCtx, by_out: Tensor, *unused: Tensor) -> tuple[Any, ...]:
        weight, gamma, variance, columns, *centred = ctx.saved_tensors
        seeds, size, batch = by_out.shape
        by_weight = torch.empty_like(weight)
        by_gamma, by_beta = torch.empty_like(gamma), torch.empty_like(gamma)
        by_columns = torch.zeros_like(columns) if ctx.needs_input_grad[3] else None
        ones, inputs = columns.new_ones(batch), columns.transpose(1, 2)
        for z, (s, rows) in zip(
            centred, pieces(seeds, size, batch, columns), strict=True
        ):
            by_y = by_out[s, rows]
            inverse = (variance[s, rows] + NORM_EPS).rsqrt()
            torch.matmul(by_y, ones, out=by_beta[s, rows])
            along = torch.linalg.vecdot(by_y, z) * inverse
            by_gamma[s, rows] = along
            by_z = z * (along * inverse / -batch).unsqueeze(2)
            by_z += by_y
            by_z -= (by_beta[s, rows] / batch).unsqueeze(2)
            by_z *= (gamma[s, rows] * inverse).unsqueeze(2)
            torch.bmm(by_z, inputs[s], out=by_weight[s, rows])
            if by_columns is not None:
                by_columns[s] += torch.bmm(weight[s, rows].transpose(1, 2), by_z)
        return by_weight, by_gamma, by_beta, by_columns
