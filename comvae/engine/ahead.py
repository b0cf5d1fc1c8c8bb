"""An encoder that is trained ahead of its decoder (He, Spokoyny, Neubig and
Berg-Kirkpatrick 2019, "Lagging Inference Networks and Posterior Collapse")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from comvae.model.information import mutual_information
from comvae.model.mode import Mode
from comvae.model.noise import Noise

if TYPE_CHECKING:
    from comvae.engine.step import Engine

LOOK = 10  # steps of an inner loop between two looks at whether the loss still falls
PATIENCE = 5  # epochs without more mutual information that end the aggressive phase
ENCODED = 500  # images per pass of the encoder


class Ahead:
    """The steps of the encoder of an engine, which has those of the decoder.

    In its aggressive phase a seed's encoder takes up to `inner_steps` steps alone
    before each step of the decoder, and none with it. Each seed ends its inner loops,
    and its phase, for itself; while another goes on, it waits.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._params = list(engine.vae.encoder.parameters())
        engine.optimiser.leave_out(self._params)
        like = torch.zeros(len(engine.config.seeds), device=engine.device)
        self._taken = like.clone()  # steps of each seed's encoder
        self._best = torch.full_like(like, -torch.inf)  # mutual information, nats
        self._worse = like.clone()  # epochs in which it was less

    def state(self) -> dict[str, Tensor]:
        """All tensors that the remaining steps depend on, by name."""
        own = self._taken, self._best, self._worse
        names = "ahead.taken", "ahead.best", "ahead.worse"
        return dict(zip(names, own, strict=True))

    def aggressive(self) -> Tensor:
        """The seeds that are in their aggressive phase, (seeds,)."""
        return (self._worse < PATIENCE) & (self.engine.alive > 0)

    def catch_up(self, chosen: Tensor, weight: float | Tensor, with_kl: bool) -> None:
        """The inner loop before the decoder's step on the images `chosen`, (seeds,
        batch): it begins with these, goes on with others, and ends for a seed where the
        mean ELBO of LOOK steps is less than that of the LOOK before.

        What it draws depends on the seed and on the number of the step alone.
        """
        engine, active = self.engine, self.aggressive()
        purpose = f"training, inner loop {engine.epoch} {engine.step}"
        noise = Noise(engine.config.seeds, purpose, engine.device)
        count, size = len(engine.images), engine.config.training.batch_size
        before = torch.full_like(self._best, torch.inf)
        total, seen = torch.zeros_like(before), 0
        for number in range(1, engine.config.options.inner_steps + 1):
            if not active.any():
                break
            mode = engine.mode(with_kl, noise, update=False)
            terms = engine.descend(chosen, weight, mode)
            self._step(active)
            total += (terms.reconstruction + terms.latent_kl).detach().sum(1)
            seen += chosen.shape[1]
            if number % LOOK == 0:
                active &= total / seen <= before
                before, total, seen = total / seen, torch.zeros_like(total), 0
            chosen = noise.permutation("order", count)[:, :size]

    def follow(self) -> None:
        """The encoder's step with the decoder's, after the aggressive phase."""
        self._step((self.engine.alive > 0) & ~self.aggressive())

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Count the epoch where mutual information, of the training images, is less
        than it was."""
        engine = self.engine
        if not self.aggressive().any():
            return
        mode = Mode(Noise(engine.config.seeds, "ahead", engine.device), weight_kl=False)
        seeds = len(engine.config.seeds)
        parts = [
            engine.vae.encoder(
                engine.dataset.to_float(some).expand(seeds, *some.shape), mode
            )[0]
            for some in engine.images.split(ENCODED)
        ]
        found = mutual_information(type(parts[0]).joined(parts)).to(self._best)
        self._worse += found < self._best
        self._best.copy_(found.maximum(self._best))

    def _step(self, which: Tensor) -> None:
        self._taken += which
        seeds = which.nonzero().flatten().tolist()
        self.engine.optimiser.step_seeds(self._params, seeds, self._taken)
        for param in self._params:
            param.grad = None
