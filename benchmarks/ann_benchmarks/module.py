"""aigc_fast for ann-benchmarks: exact, so every run has recall 1 and the figure is its time."""

import aigc_fast

from ..base.module import BaseANN


class AigcFast(BaseANN):
    """A CosineIndex over the rows that ann-benchmarks gives; one query or a batch in a call."""

    def __init__(self, metric):
        if metric != "angular":
            raise NotImplementedError(f"metric must be 'angular', got {metric!r}")
        self._threads = 1
        self._index = None
        self._batch = None

    def fit(self, X):
        """Code the rows, shape (n, d)."""
        self._index = aigc_fast.CosineIndex(X, num_threads=aigc_fast.get_num_threads())

    def set_query_arguments(self, threads):
        """Search with so many threads; 0: all."""
        self._threads = threads or aigc_fast.get_num_threads()

    def query(self, v, n):
        """Return the ids of the n nearest rows of one vector, nearest first."""
        return self._index.topk(v.reshape(1, -1), n, num_threads=self._threads).ids[0]

    def batch_query(self, X, n):
        """Search for all rows of X; ``get_batch_results`` returns the ids."""
        self._batch = self._index.topk(X, n, num_threads=self._threads)

    def get_batch_results(self):
        """Return the ids of the last batch, one array for each query, nearest first."""
        return [ids[:count] for ids, count in zip(self._batch.ids, self._batch.counts, strict=True)]

    def __str__(self):
        return f"aigc_fast(threads={self._threads})"
