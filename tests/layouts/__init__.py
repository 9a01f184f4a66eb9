"""Small NWB files in exactly the layouts of published dandisets, traps included, and what is true of each."""
