"""What a trained model is worth: ELBO terms, pictures, gaps."""
