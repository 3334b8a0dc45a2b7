"""The outside world, asked over HTTP as the product asks it."""
