"""Real animals: position in a Gabor sequence decoded from the shared latents of animals that gave no gradient."""
