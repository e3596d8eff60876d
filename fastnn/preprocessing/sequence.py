"""Where Keras's scripts look for ``pad_sequences``, which is that of ``fastnn.utils``."""

from fastnn.utils.arrays import pad_sequences

__all__ = ["pad_sequences"]
