"""One block on one device: its model, optimiser and random streams, step by step.

Everything a step needs lies on the device: images, data order, noise, complexity
weights and the sums of the terms. On a GPU a step is captured once as a CUDA graph and
replayed, so that no epoch waits for the host (section 3.1; DESIGN, section 6).
"""

import logging
import math
from collections.abc import Callable

import torch
from torch import Tensor

from comvae.datasets.loading import Dataset
from comvae.engine.fused import FusedAdam, LowRankGradient, native, unavailable
from comvae.model.layers import DynamicBayesianLinear, Pass
from comvae.model.noise import Noise
from comvae.model.objective import complexity_weights, matters, minibatch_loss
from comvae.model.vae import build
from comvae.study.settings import RunConfig

log = logging.getLogger("comvae")

WARM_UP = 3  # steps of each kind before it is captured: libraries set themselves up


class Engine:
    """The training of a block, which can stop after any step.

    `state` and `load_state` hold all that the remaining steps depend on.
    """

    def __init__(
        self, config: RunConfig, dataset: Dataset, device: torch.device
    ) -> None:
        self.config, self.dataset, self.device = config, dataset, device
        self.images = dataset.train.to(device)
        self.vae = build(config, self.images.shape[1], device)
        self.noise = Noise(config.seeds, "training", device)
        torch.backends.cuda.matmul.allow_tf32 = config.training.tf32
        self.optimiser = FusedAdam(
            self.vae.parameters(),
            lr=config.training.learning_rate,
            low_rank=_use_kernels(self.vae, device, config.training.cpu_kernels),
            allow_tf32=config.training.tf32,
        )
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
        self._alive = torch.ones(seeds, device=device)
        self._order = torch.zeros(seeds, count, dtype=torch.int64, device=device)
        self._sums = torch.zeros(3, seeds, dtype=torch.float64, device=device)
        self._position = torch.zeros((), dtype=torch.int64, device=device)
        self._graphs: dict[bool, Replayed] = {}
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

    def take_step(self) -> None:
        """One minibatch of every seed."""
        size = self.config.training.batch_size
        with_kl = self._with_kl[self.step]
        start = self.step * size
        if self.device.type == "cuda" and start + size <= len(self.images):
            self._position.fill_(self.step)
            self._replay(with_kl)
        else:
            chosen = self._order[:, start : start + size]
            self._train_on(chosen, self._weights[self.step], with_kl)
        self.step += 1

    def means(self) -> Tensor:
        """Means of reconstruction, latent KL and weight KL over the steps of this epoch
        so far, float64 (3, seeds) on the CPU.

        The weight KL's mean is over the minibatches that have it.
        """
        images = min(self.step * self.config.training.batch_size, len(self.images))
        with_kl = sum(self._with_kl[: self.step])
        counts = [images, images, max(with_kl, 1)]
        return self._sums.cpu() / torch.tensor(counts).unsqueeze(1)

    def stop_seed(self, index: int, good: dict[str, Tensor] | None) -> None:
        """Set one seed back to a good state of its parameters, and train it no more.

        `good` has a tensor for each name of the model's state, without the axis of
        seeds; without it the seed goes back to where it began.
        """
        if good is None:
            fresh = build(self.config, self.images.shape[1]).state_dict()
            good = {name: tensor[index] for name, tensor in fresh.items()}
        self._alive[index] = 0
        self._sums[:, index] = 0
        for name, tensor in self.vae.state_dict().items():
            tensor[index].copy_(good[name])
        for moments in self.optimiser.state.values():
            moments["exp_avg"][index] = 0
            moments["exp_avg_sq"][index] = 0

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
        return {
            "order": self._order,
            "sums": self._sums,
            "alive": self._alive,
            "adam.steps": self.optimiser.steps,
        }

    def _train_on(self, chosen: Tensor, weight: float | Tensor, with_kl: bool) -> None:
        """One optimiser step of all seeds on the images `chosen`, (seeds, batch)."""
        how = Pass(
            self.noise, batch_statistics=True, update_statistics=True, weight_kl=with_kl
        )
        images = self.images.index_select(0, chosen.flatten()).view(*chosen.shape, -1)
        terms = self.vae(self.dataset.to_float(images), how)
        self.optimiser.zero_grad()
        complexity_weight = weight if with_kl else None
        losses = minibatch_loss(terms, complexity_weight, self.vae.options)
        torch.dot(losses, self._alive).backward()
        self.optimiser.step()
        with torch.no_grad():
            self._sums[0].add_(terms.reconstruction.sum(1))
            self._sums[1].add_(terms.latent_kl.sum(1))
            if with_kl:
                self._sums[2].add_(terms.weight_kl)

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


def _use_kernels(
    vae: torch.nn.Module, device: torch.device, on_cpu: bool
) -> list[LowRankGradient]:
    """Let the dynamic layers use the fused kernels where these can run and, on a CPU,
    are wanted; gives the low-rank gradients that the optimiser has to know."""
    layers = [m for m in vae.modules() if isinstance(m, DynamicBayesianLinear)]
    on_gpu = device.type == "cuda"
    if not layers or not (on_gpu or on_cpu):
        return []
    reason = unavailable(device) if on_gpu else native.unavailable()
    if reason:
        log.warning("The fused kernels are not used: %s. Slower, same results", reason)
        return []
    gradients = [layer.use_kernels(low_rank=on_gpu) for layer in layers]
    return [gradient for gradient in gradients if gradient is not None]
