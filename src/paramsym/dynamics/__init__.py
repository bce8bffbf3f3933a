"""What the paths of training do to conserved quantities: gradient descent, momentum, friction."""
