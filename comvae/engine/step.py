"""One block on one device: its model, optimiser and random streams, step by step.

Everything a step needs lies on the device: images, data order, noise, complexity
weights and the sums of the terms. On a GPU a step is captured once as a CUDA graph and
replayed, so that no epoch waits for the host (paper, section 3.1).
"""

import logging
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.engine.ahead import Ahead
from comvae.engine.build import build
from comvae.engine.fused import FusedAdam, fuse, plain_step
from comvae.model.mode import Mode
from comvae.model.noise import Noise
from comvae.model.objective import Terms, complexity_weights, minibatch_loss
from comvae.model.vae import VAE
from comvae.study.run_config import RunConfig

log = logging.getLogger("comvae")

WARM_UP = 3  # steps of each kind before it is captured: libraries set themselves up


class Engine:
    """The training of a block, which can stop after any step.

    `state` and `load_state` hold all that the remaining steps depend on.
    """

    def __init__(
        self,
        config: RunConfig,
        dataset: Dataset,
        device: torch.device,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        """`start` is the state of the VAE to start from, else its initialisation."""
        self.config, self.device, self._start = config, device, start
        self.dataset, self._redrawn = dataset.grey or dataset, bool(dataset.grey)
        self.images = self.dataset.train.to(device)
        self.vae = self._at_start().to(device)
        self.noise = Noise(config.seeds, "training", device)
        torch.backends.cuda.matmul.allow_tf32 = config.training.tf32
        fused = config.training.kernels == "auto"
        together = config.options.inner_steps == 0
        self.optimiser = FusedAdam(
            self.vae.parameters(),
            lr=config.training.learning_rate,
            low_rank=fuse(self.vae, device, training=together) if fused else [],
            allow_tf32=config.training.tf32,
        )
        if config.options.trains == "encoder":
            self.vae.decoder.requires_grad_(False)
            self.optimiser.leave_out(self.vae.decoder.parameters())
        self._plain_step = (
            plain_step(self.vae, self.optimiser, device) if fused else None
        )
        in_c = self._plain_step is not None and self._plain_step.whole
        self._several = in_c and not self._redrawn
        size, count = config.training.batch_size, len(self.images)
        self.minibatches = math.ceil(count / size)
        weights = complexity_weights(
            config.options.complexity_weights, self.minibatches
        )
        self._weights = weights.tolist()
        random_weights = self.vae.encoder.random_weights()
        self._with_kl = [matters(w, random_weights) for w in self._weights]
        seeds = len(config.seeds)
        self._device_weights = weights.float().to(device)
        self.alive = torch.ones(seeds, device=device)
        self._order = torch.zeros(seeds, count, dtype=torch.int64, device=device)
        # what the objective reports; any but the ELBO has a bound of its own
        self.terms = ["reconstruction", "latent_kl", "weight_kl"]
        self.terms += ["negative_bound"] * (config.options.objective != "elbo")
        shape = len(self.terms), seeds
        self._sums = torch.zeros(shape, dtype=torch.float64, device=device)
        self._position = torch.zeros((), dtype=torch.int64, device=device)
        self._graphs: dict[bool, Replayed] = {}
        self._ahead = None if together else Ahead(self)
        self.epoch = self.step = 0  # epochs begun, steps done in the current one

    @property
    def epoch_done(self) -> bool:
        """Whether no step of the current epoch is left."""
        return self.epoch == 0 or self.step == self.minibatches

    def begin_epoch(self) -> None:
        """Draw each seed's order of the images, and forget the sums."""
        self.epoch, self.step = self.epoch + 1, 0
        self._order.copy_(self.noise.permutation("order", len(self.images)))
        self._sums.zero_()

    def take_steps(self, most: int = 1) -> None:
        """The next minibatch of every seed, and up to `most` of them where one call in
        C takes several."""
        size = self.config.training.batch_size
        with_kl = self._with_kl[self.step]
        start = self.step * size
        whole = (len(self.images) - start) // size  # minibatches that are not short
        count = 1
        if self.device.type == "cuda" and whole and self._ahead is None:
            self._position.fill_(self.step)
            self._replay(with_kl)
        elif self._several and whole:
            count = min(most, whole)
            chosen = self._order[:, start : start + count * size]
            self._train_in_c(chosen, 0, False, count)
            self.optimiser.step(count)
        else:
            chosen = self._order[:, start : start + size]
            self._train_on(chosen, self._weights[self.step], with_kl)
        self.step += count
        if self._ahead is not None and self.epoch_done:
            self._ahead.end_epoch()

    def means(self) -> dict[str, list[float]]:
        """Means of the terms over the steps of this epoch so far, of each seed.

        The weight KL's mean is over the minibatches that have it.
        """
        images = min(self.step * self.config.training.batch_size, len(self.images))
        counts = dict.fromkeys(self.terms, images)
        counts["weight_kl"] = max(sum(self._with_kl[: self.step]), 1)
        sums = zip(self.terms, self._sums.cpu(), strict=True)
        return {name: (total / counts[name]).tolist() for name, total in sums}

    def stop_seed(self, index: int, good: dict[str, Tensor] | None) -> None:
        """Set one seed back to a good state of its parameters, and train it no more.

        `good` has a tensor for each name of the model's state, without the axis of
        seeds; without it the seed goes back to where it began.
        """
        if good is None:
            began = self._at_start().state_dict()
            good = {name: tensor[index] for name, tensor in began.items()}
        self.alive[index] = 0
        self._sums[:, index] = 0
        for name, tensor in self.vae.state_dict().items():
            tensor[index].copy_(good[name])
        for moments in self.optimiser.state.values():
            moments["exp_avg"][index] = 0
            moments["exp_avg_sq"][index] = 0

    def _at_start(self) -> VAE:
        """The VAE before its first step."""
        vae = build(self.config, self.images.shape[1])
        if self._start is not None:
            vae.load_state_dict(self._start)
        return vae

    def state(self) -> dict[str, Tensor]:
        """All tensors that the remaining steps depend on, by name."""
        tensors = {f"vae.{k}": v for k, v in self.vae.state_dict().items()}
        for name, parameter in self.vae.named_parameters():
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"adam.{key}.{name}"] = value
        tensors |= {f"noise.{k}": v for k, v in self.noise.state().items()}
        return tensors | self._own_tensors()

    def load_state(self, tensors: dict[str, Tensor], epoch: int, step: int) -> None:
        """Go on from `state()` as it was at that step of that epoch."""

        def of(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }

        self.vae.load_state_dict(of("vae."))
        for name, parameter in self.vae.named_parameters():
            for key, moment in self.optimiser.state[parameter].items():
                moment.copy_(tensors[f"adam.{key}.{name}"])
        self.noise.load_state(of("noise."))
        for name, own in self._own_tensors().items():
            own.copy_(tensors[name])
        self.epoch, self.step = epoch, step

    def _own_tensors(self) -> dict[str, Tensor]:
        own = {
            "order": self._order,
            "sums": self._sums,
            "alive": self.alive,
            "adam.steps": self.optimiser.steps,
        }
        return own if self._ahead is None else own | self._ahead.state()

    def _train_on(self, chosen: Tensor, weight: float | Tensor, with_kl: bool) -> None:
        """One optimiser step of all seeds on the images `chosen`, (seeds, batch)."""
        if self._plain_step is not None:
            self.optimiser.zero_grad()
            self._train_in_c(chosen, weight, with_kl)
        else:
            if self._ahead is not None:
                self._ahead.catch_up(chosen, weight, with_kl)
            terms = self.descend(chosen, weight, self.mode(with_kl, self.noise))
            if self._ahead is not None:
                self._ahead.follow()
            with torch.no_grad():
                for name, total in zip(self.terms, self._sums, strict=True):
                    if name != "weight_kl":
                        total.add_(getattr(terms, name).sum(1))
                    elif with_kl:
                        total.add_(terms.weight_kl)
        self.optimiser.step()

    def descend(self, chosen: Tensor, weight: float | Tensor, mode: Mode) -> Terms:
        """The terms of each seed on the images `chosen`, (seeds, batch), and the
        gradients of its loss."""
        self.optimiser.zero_grad()
        terms = self.vae(self._inputs(chosen, mode.noise), mode)
        complexity_weight = weight if mode.weight_kl else None
        losses = minibatch_loss(terms, complexity_weight, self.vae.options)
        torch.dot(losses, self.alive).backward()
        return terms

    def _train_in_c(
        self, chosen: Tensor, weight: float | Tensor, with_kl: bool, count: int = 1
    ) -> None:
        """All plain layers in C, between the forward and the backward pass of those of
        the encoder that are not."""
        step = self._plain_step
        if self._several:
            read = self.images, self.dataset.pixel_max, chosen
        else:
            x = self._inputs(chosen, self.noise)
            read = x.flatten(0, 1), 1.0, torch.arange(chosen.numel()).view_as(chosen)
        if step.whole:
            step(*read, self.alive, self.noise, self._sums, steps=count)
            return
        forward = step.encoder.forward if step.encoder else self.vae.encoder.outputs
        outputs, kl = forward(x, self.mode(with_kl, self.noise))
        gradient = step(*read, self.alive, self.noise, self._sums, outputs)
        if with_kl:
            self._sums[self.terms.index("weight_kl")] += kl.detach()
        weighted = weight * self.alive
        if step.encoder:
            step.encoder.backward(gradient, weighted)
        elif with_kl:
            torch.autograd.backward([outputs, kl], [gradient, weighted])
        else:
            outputs.backward(gradient)

    def mode(self, with_kl: bool, noise: Noise, update: bool = True) -> Mode:
        """How a forward pass of training is done; without `update` the running
        statistics stay."""
        return Mode(
            noise,
            input_noise=True,
            batch_statistics=True,
            update_statistics=update,
            weight_kl=with_kl,
        )

    def _inputs(self, chosen: Tensor, noise: Noise) -> Tensor:
        """The images `chosen`, (seeds, batch, pixels) in [0, 1]."""
        images = self.images.index_select(0, chosen.flatten()).view(*chosen.shape, -1)
        x = self.dataset.to_float(images)
        return noise.bernoulli("pixels", x) if self._redrawn else x

    def _train_at_position(self, with_kl: bool) -> None:
        """The step whose number is on the device: nothing of it is on the host."""
        size = self.config.training.batch_size
        offsets = torch.arange(size, device=self.device)
        chosen = self._order.index_select(1, self._position * size + offsets)
        weight = self._device_weights.index_select(0, self._position.view(1))
        self._train_on(chosen, weight, with_kl)

    def _replay(self, with_kl: bool) -> None:
        if with_kl not in self._graphs:
            self._graphs[with_kl] = Replayed(
                lambda: self._train_at_position(with_kl), self.noise
            )
        self._graphs[with_kl]()


class Replayed:
    """A step that is captured as a CUDA graph after some calls, and replayed from then
    on; it goes on without a graph, and says so once, where capturing fails."""

    def __init__(self, step: Callable[[], None], noise: Noise) -> None:
        self._step, self._noise = step, noise
        self._graph: torch.cuda.CUDAGraph | None = None
        self._calls, self._plain = 0, False

    def __call__(self) -> None:
        self._calls += 1
        if self._graph is not None:
            self._graph.replay()
        elif self._plain:
            self._step()
        elif self._calls <= WARM_UP:
            # not on the default stream, where libraries may keep what capture refuses
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self._step()
            torch.cuda.current_stream().wait_stream(stream)
        else:
            self._capture()
            self()

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            for generator in self._noise.generators():
                graph.register_generator_state(generator)
            with torch.cuda.graph(graph):
                self._step()
        except RuntimeError as error:
            self._plain = True
            log.warning(
                "The step cannot be captured as a CUDA graph and runs without: slower, "
                "same results (%s)",
                str(error).splitlines()[0],
            )
            return
        self._graph = graph


def matters(complexity_weight: float, random_weights: int) -> bool:
    """Whether the KL of so many weights, weighted so, can be seen in a float32 loss.

    A weight's KL is at most some eight nats, and losses are above 16 nats, where
    float32 resolves 2^-20: what is left out is less than it rounds off.
    """
    return complexity_weight * 8 * random_weights > 2**-20
