"""PyDataset: data in batches, by number."""

from __future__ import annotations

from typing import Any


class PyDataset:
    """The base of datasets of one's own: batches by number.

    A subclass defines `__len__` (the number of batches; or the property `num_batches`, None if there is no end) and
    `__getitem__(index)`, which gives (x, y) or (x, y, sample_weight).

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size
        As in Keras; batches are made in the calling thread, so more than one worker is not built.

    Examples
    --------
    >>> import hypernet as hn, numpy as np
    >>> class Squares(hn.utils.PyDataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         x = np.arange(4.0)[:, None] + 4 * index
    ...         return x, x**2
    >>> model = hn.Sequential([hn.Input((1,)), hn.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> len(model.fit(Squares(), epochs=2, verbose=0).epoch)
    2
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        if workers not in (0, 1) or use_multiprocessing:
            raise NotImplementedError(
                f"PyDataset: `workers={workers}`, `use_multiprocessing={use_multiprocessing}` is not built; batches are "
                "made in the calling thread."
            )
        self.workers = workers
        self.use_multiprocessing = False
        self.max_queue_size = max_queue_size

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define `__len__`, the number of batches.")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define `__getitem__(index)`, which gives a batch.")

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None: no end."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Called before every epoch."""

    def on_epoch_end(self) -> None:
        """Called after every epoch."""
