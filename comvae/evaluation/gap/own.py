"""q* over an encoder's own family: the best posterior that its outputs can name.

What amortization falls short of where q(z given x) is no Gaussian. What all images
share of the family, as the couplings of a flow, stays frozen with the decoder.
"""

import torch
from torch import Tensor

from comvae.evaluation.gap.chunks import image_chunks
from comvae.evaluation.gap.minimise import minimise
from comvae.evaluation.gap.target import Target
from comvae.model.posterior import Gaussian
from comvae.model.quasi_normal import quasi_normal

NUMBERS = 128  # that the search holds for each draw of an image
STEP = 0.05  # of an output for a slope of one: the first guess of the search


def own_optimum(
    target: Target,
    family: Gaussian,
    outputs: Tensor,
    draws: int,
    iterations: int,
    tolerance: float,
) -> Tensor:
    """The outputs, shaped like those of the encoder, (seeds, images, outputs), that are
    best for each image; the search starts from the encoder's.

    As the search over Gaussians (`local.optimise`), with gradients of the family by
    autograd: no image ends below where it started, on the draws of the search.
    """
    seeds, images, _ = outputs.shape
    latent = family.latent
    eps = quasi_normal(max(draws // 2 * 2, 4 * latent), latent).to(outputs)
    found = torch.empty_like(outputs)
    for part, index in image_chunks(seeds, images, len(eps) * NUMBERS, outputs.device):
        here = target.select(index)

        def objective(
            point: Tensor, rows: Tensor, here: Target = here
        ) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                point = point.detach().requires_grad_()
                q = family(point)
                z = q.rsample(eps.expand(*point.shape[:2], -1, -1))
                kl = q.kl(z)
            value, slope = here.select(rows).gradient(z.detach())
            along = [torch.ones_like(kl), -slope / len(eps)]
            (gradient,) = torch.autograd.grad([kl, z], point, along)
            return kl.detach() - value.mean(2), gradient

        start = outputs[:, part]
        found[:, part] = minimise(
            objective,
            start,
            lambda point, gradient: torch.full_like(point, STEP),
            tolerance,
            iterations,
        ).point
    return found
