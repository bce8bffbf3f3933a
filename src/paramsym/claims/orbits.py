"""Sections 3.1 and 3.2: orbits, and the dimension of flat minima."""
