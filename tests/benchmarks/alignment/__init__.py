"""Are animals that were never trained on aligned, and how near is that to what their activity allows."""
