"""The training step of a model of plain layers, in C on a CPU; plain.c says how."""

from ctypes import Structure, addressof, byref

import torch
from torch import Tensor

from comvae.engine.fused.native import ADAM, library, structure
from comvae.engine.fused.optimiser import FusedAdam, adam_numbers
from comvae.model.layers import Linear
from comvae.model.noise import Noise
from comvae.model.posterior import Gaussian
from comvae.model.vae import VAE, Decoder, Encoder, elbo

_Dense = structure(
    int64="ins outs",
    pointer="weight bias weight_mean bias_mean weight_square bias_square",
)
_Step = structure(
    pointer="dense x eps weight reconstruction latent_kl workspace",
    int64="seeds batch latent floats",
    int32="encoder layers threads exponential",
    float=f"tiny {ADAM}",
)


def without_plain_step(vae: VAE) -> str:
    """Why the C step does not know this model; empty where it does."""
    options, encoder = vae.options, vae.encoder
    if vae.objective is not elbo or options.likelihood != "bernoulli":
        return f"objective {options.objective}, likelihood {options.likelihood}"
    known = (Encoder, Decoder, Gaussian)
    if (type(encoder), type(vae.decoder), type(encoder.posterior)) != known:
        return f"encoder {options.encoder}, posterior {options.posterior}"
    layers = [*encoder.hidden, encoder.latents]
    if encoder.norms or {type(layer) for layer in layers} != {Linear}:
        return "its encoder is not of plain layers alone"
    return ""


class PlainStep:
    """One optimiser step of all seeds of a block: the model, its gradients and Adam.

    Works on the tensors of `vae` and `optimiser` in place.
    """

    def __init__(self, vae: VAE, optimiser: FusedAdam) -> None:
        self.vae, self.optimiser = vae, optimiser
        encoder = [*vae.encoder.hidden, vae.encoder.latents]
        layers = [*encoder, *vae.decoder.layers]
        self._dense = (_Dense * len(layers))(*map(self._addresses, layers))
        self._encoder = len(encoder)
        self._workspace = torch.empty(0)

    def _addresses(self, layer: Linear) -> Structure:
        params = layer.weight, layer.bias
        moments = [self.optimiser.state[param] for param in params]
        tensors = [*params, *(m["exp_avg"] for m in moments)]
        tensors += [m["exp_avg_sq"] for m in moments]
        return _Dense(*layer.weight.shape[1:], *(t.data_ptr() for t in tensors))

    def __call__(self, x: Tensor, weight: Tensor, noise: Noise, totals: Tensor) -> None:
        """Train on images x, (seeds, batch, pixels); `weight`, (seeds,), is that of an
        image's terms in the loss. The sums over the images of reconstruction and latent
        KL are added to `totals`, float64 (2, seeds)."""
        seeds, batch, _ = x.shape
        x, eps = x.contiguous(), noise.normal("latents", batch, self.vae.latent)
        self.optimiser.steps += 1
        threads = torch.get_num_threads()
        step = _Step(
            dense=addressof(self._dense),
            x=x.data_ptr(),
            eps=eps.data_ptr(),
            weight=weight.data_ptr(),
            reconstruction=totals[0].data_ptr(),
            latent_kl=totals[1].data_ptr(),
            seeds=seeds,
            batch=batch,
            latent=self.vae.latent,
            encoder=self._encoder,
            layers=len(self._dense),
            threads=threads,
            exponential=self.vae.options.latent_scale == "exp",
            tiny=torch.finfo(x.dtype).tiny,
            **adam_numbers(self.optimiser.steps, self.optimiser.lr),
        )
        step.floats = library().comvae_plain_floats(byref(step))
        if self._workspace.numel() < threads * step.floats:
            self._workspace = torch.empty(threads * step.floats)
        step.workspace = self._workspace.data_ptr()
        library().comvae_plain_step(byref(step))
