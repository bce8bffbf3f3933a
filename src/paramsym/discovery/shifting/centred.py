"""Values of mean zero, as single calls make them that begin a LayerNorm."""

from paramsym.discovery.recording import Recording
from paramsym.discovery.shifting.values import Support
from paramsym.discovery.shifting.walk import Run

Centred = dict[int, frozenset[int]]
"""Number of a value → axes along which it adds up to zero, whatever the data."""


def centred_values(run: Run, recording: Recording) -> Centred:
    """The values of a recording that add up to zero along an axis.

    Values that are written to again are left out: under one number they are several.
    """
    written = {i for record in recording.records for i in record.mutates}
    found = {}
    for i in recording.shapes:
        value = run.values.get(i)
        if value is None or i in written:
            continue
        axes = frozenset(s.axis for s in value.supports if s == Support(s.axis))
        if axes:
            found[i] = axes
    return found
