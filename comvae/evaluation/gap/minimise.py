"""Many small minimisations at once: BFGS with a line search, each row on its own.

Rows share calls of the objective and nothing else. Every round evaluates one trial
point per row, and accepts it or shortens the row's step. Rows that are done leave the
batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from comvae.evaluation.gap.target import take

SUFFICIENT = 1e-4  # Armijo: the least share of the decrease that the slope promises
SHORTEST = 1e-3  # a line search that is down to this share of the step has failed
COMPACT = 0.8  # the batch is gathered anew where fewer than this share are active

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Points (seeds, rows, n) and the numbers of these rows, (seeds, rows), to values
(seeds, rows) and gradients (seeds, rows, n)."""


@dataclass
class Minimum:
    """What became of each row; (seeds, rows[, n])."""

    point: Tensor
    value: Tensor  # not finite where the start was not
    rounds: Tensor  # calls of the objective with this row
    converged: Tensor


def minimise(
    objective: Objective,
    start: Tensor,
    inverse_curvature: Callable[[Tensor, Tensor], Tensor],
    tolerance: float,
    most_rounds: int,
) -> Minimum:
    """Minimise from `start`, (seeds, rows, n).

    `inverse_curvature` guesses the diagonal of the inverse Hessian from the start and
    its gradient. A row has converged where a step lowered its value by less than
    `tolerance` and the next step promises less than that, too.
    """
    index = torch.arange(start.shape[1], device=start.device).expand(len(start), -1)
    value, gradient = objective(start, index)
    metric = torch.diag_embed(inverse_curvature(start, gradient))
    work = {
        "point": start,
        "value": value,
        "gradient": gradient,
        "metric": metric,
        "direction": _newton(metric, gradient),
        "step": torch.ones_like(value),
        "rounds": torch.ones_like(index),
        "converged": torch.zeros_like(index, dtype=torch.bool),
        "active": value.isfinite() & gradient.isfinite().all(2),
    }
    result = {name: work[name].clone() for name in Minimum.__dataclass_fields__}
    for _ in range(1, most_rounds):
        active = work["active"]
        most = int(active.sum(1).max())
        if most < COMPACT * active.shape[1]:
            _keep(result, work, index)
            first = active.to(torch.int8).argsort(1, descending=True)[:, :most]
            work = {name: take(tensor, first) for name, tensor in work.items()}
            index = take(index, first)
        if most == 0:
            break
        work = _round(objective, work, index, tolerance)
    _keep(result, work, index)
    return Minimum(**result)


def _round(
    objective: Objective, old: dict[str, Tensor], index: Tensor, tolerance: float
) -> dict[str, Tensor]:
    step = old["step"].unsqueeze(2) * old["direction"]
    slope = (step * old["gradient"]).sum(2)
    point = old["point"] + step
    value, gradient = objective(point, index)
    change = value - old["value"]
    accept = old["active"] & (change <= SUFFICIENT * slope) & gradient.isfinite().all(2)

    metric = _bfgs(old["metric"], step, gradient - old["gradient"])
    direction = _newton(metric, gradient)
    promised = -0.5 * (direction * gradient).sum(2)
    moved = {
        "point": point,
        "value": value,
        "gradient": gradient,
        "metric": metric,
        "direction": direction,
        "step": torch.ones_like(value),
    }
    # a rejected step shrinks to the minimum of the parabola through what is known
    shrunk = (-0.5 * slope / (change - slope)).nan_to_num(0.1).clamp(0.1, 0.5)
    stayed = old | {"step": old["step"] * shrunk}
    new = {name: _where(accept, moved[name], stayed[name]) for name in moved}

    done = accept & (-change < tolerance) & (promised < tolerance)
    stuck = old["active"] & ~accept & (new["step"] < SHORTEST)
    new["rounds"] = old["rounds"] + old["active"]
    new["converged"] = old["converged"] | done
    new["active"] = old["active"] & ~done & ~stuck
    return new


def _newton(metric: Tensor, gradient: Tensor) -> Tensor:
    return -(metric @ gradient.unsqueeze(3)).squeeze(3)


def _bfgs(metric: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """The inverse Hessian, (seeds, rows, n, n), once `step` has changed the gradient by
    `change`; as it was where the curvature along the step is not positive."""
    curvature = (step * change).sum(2)
    usable = curvature > 1e-6 * step.norm(dim=2) * change.norm(dim=2)
    rho = torch.where(usable, 1 / curvature, 0.0)[..., None, None]
    moved = metric @ change.unsqueeze(3)
    step, change = step.unsqueeze(3), change.unsqueeze(3)
    cross = step @ moved.transpose(2, 3)
    stretch = 1 + rho * (change.transpose(2, 3) @ moved)
    update = rho * (stretch * (step @ step.transpose(2, 3)) - cross - cross.mT)
    return torch.where(usable[..., None, None], metric + update, metric)


def _keep(result: dict[str, Tensor], work: dict[str, Tensor], index: Tensor) -> None:
    """Write the rows `index` of the work at hand into the result."""
    for name, tensor in result.items():
        shape = index.shape + (1,) * (tensor.dim() - 2)
        tensor.scatter_(1, index.view(shape).expand_as(work[name]), work[name])


def _where(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(mask.view(mask.shape + (1,) * (yes.dim() - 2)), yes, no)
