"""The plain layers of training steps, in C on a CPU; plain.c says how."""

from ctypes import Structure, addressof, byref

import torch
from torch import Tensor

from comvae.engine.fused.dynamic import DynamicEncoder, all_dynamic
from comvae.engine.fused.native import library, structure
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
    pointer="dense outputs by_outputs images chosen eps alive adam "
    "reconstruction latent_kl workspace",
    int64="seeds steps batch apart latent floats",
    int32="bytes encoder layers threads exponential",
    float="pixel_max share tiny",
)
SMALL = 20_000  # a step on fewer parameters ends before a second thread wakes up


def without_plain_step(vae: VAE) -> str:
    """Why C does not know what follows on this model's encoder; empty where it does."""
    options = vae.options
    if options.trains == "encoder":
        return "there is no kernel that leaves the decoder as it is"
    if options.inner_steps:
        return "there is no kernel that trains the encoder alone"
    if vae.objective is not elbo:
        return f"there is no kernel for the objective {options.objective}"
    if options.likelihood != "bernoulli":
        return f"there is no kernel for the likelihood {options.likelihood}"
    if type(vae.encoder.posterior) is not Gaussian or type(vae.decoder) is not Decoder:
        return f"there is no kernel for the posterior {options.posterior}"
    return ""


class PlainStep:
    """Steps of the plain layers of all seeds of a block: the decoder, with all that
    lies between it and the encoder, and the encoder where it is plain too. The model is
    `whole` then, and takes several steps at once. Where the encoder is all DBNN layers,
    `encoder` takes its step.

    Takes gradients and Adam's step at once, on the tensors of `vae` and `optimiser` in
    place; `optimiser` leaves these layers alone from now on.
    """

    def __init__(self, vae: VAE, optimiser: FusedAdam) -> None:
        self.vae, self.optimiser = vae, optimiser
        encoder = [*vae.encoder.hidden, vae.encoder.latents]
        options = vae.options
        self.whole = type(vae.encoder) is Encoder and not vae.encoder.norms
        self.whole &= not (options.input_noise or options.dropout)
        self.whole &= {type(layer) for layer in encoder} == {Linear}
        if not self.whole:
            encoder = []
        layers = [*encoder, *vae.decoder.layers]
        self._dense = (_Dense * len(layers))(*map(self._addresses, layers))
        self._step = _Step(
            dense=addressof(self._dense),
            seeds=len(layers[0].weight),
            latent=vae.latent,
            encoder=len(encoder),
            layers=len(layers),
            exponential=options.latent_scale == "exp",
            tiny=torch.finfo(torch.float32).tiny,
        )
        own = [param for layer in layers for param in layer.parameters()]
        optimiser.leave_out(own)
        self.encoder = None
        if all_dynamic(vae.encoder):
            self.encoder = DynamicEncoder(vae.encoder, optimiser)
        self._small = sum(param[0].numel() for param in own) < SMALL

    def __call__(
        self,
        images: Tensor,
        pixel_max: float,
        chosen: Tensor,
        alive: Tensor,
        noise: Noise,
        totals: Tensor,
        outputs: Tensor | None = None,
        steps: int = 1,
    ) -> Tensor | None:
        """Train each seed on those of the `images` that are `chosen` for it.

        `images` are uint8, int16 or float32 (images, pixels), white at `pixel_max`;
        `chosen` is (seeds, steps x batch), in order; a seed that is not `alive`,
        (seeds,) of 1 or 0, has no gradient. The sums over the images of reconstruction
        and latent KL are added to `totals`, float64 (2 or more, seeds). `outputs`,
        (seeds, batch, 2 latent), is what an encoder gave that is not plain: the result
        is then the gradient of the loss, for which `optimiser.step()` comes after this.
        Raises ValueError for other images.
        """
        if images.dtype not in (torch.uint8, torch.int16, torch.float32):
            raise ValueError(
                f"images are {images.dtype}; expected uint8, int16 or float32"
            )
        step, batch = self._step, chosen.shape[1] // steps
        eps = noise.normals("latents", steps, batch, self.vae.latent)
        by_outputs = None
        if not self.whole:
            outputs = outputs.detach().contiguous()
            by_outputs = torch.empty_like(outputs)
            step.outputs, step.by_outputs = outputs.data_ptr(), by_outputs.data_ptr()
        step.images, step.bytes = images.data_ptr(), images.element_size()
        step.chosen, step.apart = chosen.data_ptr(), chosen.stride(0)
        step.eps, step.alive = eps.data_ptr(), alive.data_ptr()
        step.reconstruction = totals.data_ptr()
        step.latent_kl = totals.data_ptr() + totals.stride(0) * totals.element_size()
        step.pixel_max = pixel_max
        step.share = 1 / batch if self.vae.options.data_term == "mean" else 1
        done, lr = int(self.optimiser.steps), self.optimiser.lr
        numbers = [adam_numbers(done + n, lr) for n in range(1, steps + 1)]
        adam = torch.tensor([list(each.values()) for each in numbers])
        step.adam, step.steps = adam.data_ptr(), steps
        threads = torch.get_num_threads()
        if self._small and step.seeds == 1:
            threads = 1
        if (batch, threads) != (step.batch, step.threads):
            step.batch, step.threads = batch, threads
            step.floats = library().comvae_plain_floats(byref(step))
            self._workspace = torch.empty(threads * step.floats)
            step.workspace = self._workspace.data_ptr()
        library().comvae_plain_steps(byref(step))
        return by_outputs

    def _addresses(self, layer: Linear) -> Structure:
        params = layer.weight, layer.bias
        moments = [self.optimiser.state[param] for param in params]
        tensors = [*params, *(m["exp_avg"] for m in moments)]
        tensors += [m["exp_avg_sq"] for m in moments]
        return _Dense(*layer.weight.shape[1:], *(t.data_ptr() for t in tensors))
