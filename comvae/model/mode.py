"""How a forward pass is done: in training or evaluation, with or without noise."""

from dataclasses import dataclass

from comvae.model.noise import Noise


@dataclass(frozen=True)
class Mode:
    """How a forward pass treats what is random and what depends on the batch."""

    noise: Noise
    sample_weights: bool = True  # else each weight at its mean, and no dropout
    input_noise: bool = False  # on what the encoder reads, where its options ask for it
    batch_statistics: bool = False  # else batch norm with its running statistics
    update_statistics: bool = False  # move the running statistics towards the batch
    weight_kl: bool = True  # else the weight KL is not computed and comes out as zero
