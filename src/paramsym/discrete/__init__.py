"""Discrete symmetries: permutations of a hidden space's coordinates and changes of their signs."""
