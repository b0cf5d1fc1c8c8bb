"""The Compound VAE: layers, priors, posterior, objective (paper, section 2)."""
