"""Training in lockstep: steps, kernels, checkpoints, memory (paper, section 3.1)."""
