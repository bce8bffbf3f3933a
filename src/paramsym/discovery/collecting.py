"""Garbage collection while a model is analysed."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def old_objects_at_rest() -> Iterator[None]:
    """Garbage collections look only at objects made meanwhile.

    torch's modules alone are hundreds of thousands of objects, which a full collection would walk
    through again and again while graphs are built. Where somebody has frozen objects already,
    nothing is done: they cannot be told from those frozen here.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
