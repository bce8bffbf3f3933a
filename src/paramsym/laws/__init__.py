"""Conserved quantities that come from no linear symmetry of the weights.

Same convention as everywhere: writers minus readers, no factor ½ (docs/derivations.md §1).
"""
