from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nwb_mivae.clips import evenly


@given(n=st.integers(0, 300), count=st.integers(0, 300))
def test_takes_so_many_in_order_from_first_to_last_and_none_twice(n: int, count: int) -> None:
    values = 10 * np.arange(n, dtype=np.int64)
    taken = evenly(values, count)
    assert len(taken) == min(n, count)
    assert (np.diff(taken) > 0).all()
    assert np.isin(taken, values).all()
    if len(taken) > 1:
        assert (taken[0], taken[-1]) == (values[0], values[-1])
        assert np.ptp(np.diff(taken)) <= 10


def test_takes_everything_where_no_number_is_given() -> None:
    values = np.array([3, 5, 9])
    np.testing.assert_array_equal(evenly(values, None), values)
