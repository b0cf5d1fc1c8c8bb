"""log p(x) - ELBO taken apart, image by image: approximation and amortization gap.

Cremer, Li and Duvenaud, "Inference Suboptimality in Variational Autoencoders" (2018);
`docs/gap.md` has the protocol of this package and the errors of its estimates. The
paper of the Compound VAE argues about these gaps and measures none.
"""

from comvae.evaluation.gap.measure import image_indices, measure

__all__ = ["image_indices", "measure"]
