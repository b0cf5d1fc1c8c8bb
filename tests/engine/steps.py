"""What the tests of training share: histories, and steps that are taken otherwise."""

import torch

from comvae.engine.step import Engine

TERMS = ["reconstruction", "latent_kl", "negative_elbo", "weight_kl"]


def history_of(seed, trained):
    history = trained.history
    return torch.tensor(history.loc[history["seed"] == seed, TERMS].to_numpy())


def stopped_after(steps):
    """A `stop` that becomes true with its so manieth question."""
    questions = iter(range(1, 10**6))
    return lambda: next(questions) >= steps


class OnDevice(Engine):
    """What a GPU captures as a graph: image order and weights by a number on it."""

    def take_steps(self, most=1):
        start = self.step * self.config.training.batch_size
        if start + self.config.training.batch_size > len(self.images):
            return super().take_steps()
        self._position.fill_(self.step)
        self._train_at_position(self._with_kl[self.step])
        self.step += 1
