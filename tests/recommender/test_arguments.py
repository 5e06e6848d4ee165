"""What the shared argument checks take, make of it, and refuse."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix, csr_matrix

from aigc_fast.recommender import PureSVD, TopPop
from aigc_fast.recommender.arguments import as_csr


@pytest.mark.parametrize("form", [csr_matrix, coo_matrix])
def test_duplicates_add_up_in_the_type_asked_for(form):
    """In int8, 100 + 100 would be -56."""
    row, column, value = [0, 0, 1], [0, 0, 1], np.array([100, 100, 1], np.int8)
    given = coo_matrix((value, (row, column)), shape=(2, 2))
    if form is csr_matrix:
        given = csr_matrix((value, column, [0, 2, 3]), shape=(2, 2))
    assert as_csr("user_items", given, dtype=np.float32).toarray().tolist() == [[200, 0], [0, 1]]
    assert given.nnz == 3


@pytest.mark.parametrize(("index", "pointers"), [(7, [0, 1, 1]), (-2, [0, 1, 1]), (0, [0, 5, 1])])
def test_indices_out_of_range_are_refused(index, pointers):
    """SciPy does not look at them, and its products would read and write beyond the arrays."""
    broken = csr_matrix((2, 5))
    broken.data, broken.indices = np.ones(1, np.float32), np.array([index], np.int32)
    broken.indptr = np.array(pointers, np.int32)
    for kind in (TopPop, PureSVD):
        with pytest.raises(ValueError, match="user_items is no valid CSR matrix"):
            kind().fit(broken)


def test_complex_numbers_are_refused():
    with pytest.raises(TypeError, match="user_items has dtype complex128; real numbers are taken"):
        TopPop().fit(csr_matrix([[1j, 1]]))
