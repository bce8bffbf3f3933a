"""The data-dependent action: frames, cocycles, networks, hidden spaces."""
