"""What `import comvae` offers: trained models, and the gap of any VAE (docs/api.md)."""
