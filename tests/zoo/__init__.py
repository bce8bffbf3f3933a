"""Small real architectures with random weights, and what discovery must find in them."""
