"""The block parser against plain Python parsing of the same lines."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigc_fast.data import delimited
from aigc_fast.data.delimited import Layout, line_of_row, read_rows

TAB = Layout("\t", n_fields=4, user=0, item=1, rating=2, timestamp=3)
COLONS = TAB._replace(delimiter="::")
CSV = TAB._replace(delimiter=",", quotes=True)

NUMBER_LABELS = st.integers(0, 10**18 - 1).map(str)
# Any text that no layout gives a meaning to; a label may not be empty, and CSV quotes have tests of their own.
TEXT_LABELS = st.text(st.characters(codec="utf-8", exclude_characters='\0\n\r\t,:"\x1f'), min_size=1, max_size=6)
DECIMALS = st.decimals(-1000, 1000, allow_nan=False, allow_infinity=False, places=3).map(str)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr)
TIMES = st.integers(-(2**53), 2**53).map(str) | st.just("1.5e9") | st.just("881250949.0")


def rows_of(labels):
    return st.lists(st.tuples(labels, labels, DECIMALS | FLOATS, TIMES), max_size=40)


def parse_plainly(rows):
    """One row at a time, with nothing but int() and float()."""
    users, items, ratings, times = zip(*rows, strict=True) if rows else ((), (), (), ())
    return (
        list(users),
        list(items),
        np.array([float(text) for text in ratings]).astype(np.float32),
        np.array([int(float(text)) if "." in text else int(text) for text in times], np.int64),
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("delimited") / "rows"


@pytest.mark.parametrize("layout", [TAB, COLONS, CSV], ids=["tab", "colons", "csv"])
@given(
    rows=rows_of(NUMBER_LABELS) | rows_of(TEXT_LABELS) | rows_of(NUMBER_LABELS | TEXT_LABELS),
    block=st.integers(160, 400),
    newline=st.sampled_from(["\n", "\r\n"]),
    last_newline=st.booleans(),
    blank=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_equals_plain_parsing(path, layout, rows, block, newline, last_newline, blank):
    lines = [layout.delimiter.join(row) for row in rows]
    text = (newline * (1 + blank)).join(lines) + newline * last_newline
    path.write_bytes(text.encode())
    with mock.patch.object(delimited, "BLOCK_BYTES", block):  # so small that lines cross the blocks
        result = read_rows(path, layout)
    users, items, ratings, times = parse_plainly(rows)
    assert result.users.astype(str).tolist() == users
    assert result.items.astype(str).tolist() == items
    assert result.ratings.dtype == np.float32
    assert np.array_equal(result.ratings, ratings)
    assert result.timestamps.dtype == np.int64
    assert np.array_equal(result.timestamps, times)


@given(rows=rows_of(NUMBER_LABELS), data=st.data())
@settings(max_examples=40, deadline=None)
def test_quoted_csv_equals_plain_csv(path, rows, data):
    quote = [data.draw(st.tuples(*[st.booleans()] * 4)) for _ in rows]
    lines = [
        ",".join(f'"{field}"' if quoted else field for field, quoted in zip(row, quotes, strict=True))
        for row, quotes in zip(rows, quote, strict=True)
    ]
    path.write_text("\n".join(lines))
    quoted = read_rows(path, CSV)
    path.write_text("\n".join(",".join(row) for row in rows))
    for one, other in zip(quoted, read_rows(path, CSV), strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def test_quotes_protect_delimiters_and_quotes(path):
    path.write_text('"a,b","say ""hi""",1,2\n')
    rows = read_rows(path, CSV)
    assert rows.users.tolist() == ["a,b"]
    assert rows.items.tolist() == ['say "hi"']


@pytest.mark.parametrize(
    ("label", "dtype"),
    [("0", "i"), ("10", "i"), ("999999999999999999", "i"), ("007", "U"), ("1000000000000000000", "U"), ("-1", "U")],
)
def test_labels_become_numbers_only_if_their_text_survives(path, label, dtype):
    path.write_text(f"{label}\t1\t1\t1\n")
    users = read_rows(path, TAB).users
    assert users.dtype.kind == dtype
    assert users.astype(str).tolist() == [label]


BREAKS = {
    "a field too few": (lambda row: row[:3], r"3 field\(s\)"),
    "a field too many": (lambda row: [*row, "9"], r"5 field\(s\)"),
    "an empty user": (lambda row: ["", *row[1:]], "empty user id"),
    "an empty item": (lambda row: [row[0], "", *row[2:]], "empty item id"),
    "an empty rating": (lambda row: [*row[:2], "", row[3]], "rating '' is not a finite number"),
    "a word for a rating": (lambda row: [*row[:2], "good", row[3]], "rating 'good' is not a finite number"),
    "a rating with underscores": (lambda row: [*row[:2], "1_0", row[3]], "rating '1_0' is not a finite number"),
    "two dots": (lambda row: [*row[:2], "1.2.3", row[3]], "rating '1.2.3' is not a finite number"),
    "a lone sign": (lambda row: [*row[:2], "-", row[3]], "rating '-' is not a finite number"),
    "a NaN": (lambda row: [*row[:2], "nan", row[3]], "rating 'nan' is not a finite number"),
    "an infinity": (lambda row: [*row[:2], "-inf", row[3]], "rating '-inf' is not a finite number"),
    "beyond float32": (lambda row: [*row[:2], "1e39", row[3]], "rating '1e39' exceeds float32"),
    "a date": (lambda row: [*row[:3], "2020-01-01"], "timestamp '2020-01-01' is not a finite number"),
    "beyond int64": (lambda row: [*row[:3], "1e19"], "timestamp 1e\\+19 exceeds int64"),
    "a long label": (lambda row: ["x" * 256, *row[1:]], "user id of 256 bytes; at most 255"),
    "a zero byte": (lambda row: ["a\0b", *row[1:]], "a zero byte"),
}


@pytest.mark.parametrize("layout", [TAB, COLONS, CSV], ids=["tab", "colons", "csv"])
@pytest.mark.parametrize("damage", BREAKS)
@given(n=st.integers(1, 30), data=st.data())
@settings(max_examples=5, deadline=None)
def test_a_broken_row_is_named_by_its_line(path, layout, damage, n, data):
    broken = data.draw(st.integers(0, n - 1))
    breaks, message = BREAKS[damage]
    rows = [[str(row + 1), str(row + 7), "3.5", "1000"] for row in range(n)]
    rows[broken] = breaks(rows[broken])
    path.write_text("\n".join(layout.delimiter.join(row) for row in rows) + "\n")
    block = data.draw(st.integers(300, 600))
    with mock.patch.object(delimited, "BLOCK_BYTES", block), pytest.raises(ValueError, match=message) as caught:
        read_rows(path, layout)
    assert str(caught.value).startswith(f"{path}, line {broken + 1}: ")


def test_bad_quotes_are_named_by_their_line(path):
    path.write_text('1,2,3,4\n"1,2,3,4\n5,6,7,8\n')
    with pytest.raises(ValueError, match="line 2: bad quotes"):
        read_rows(path, CSV)


def test_a_label_in_another_encoding_is_named_by_its_line(path):
    path.write_bytes("a\tb\t1\t1\nñ\tb\t1\t1\n".encode("latin-1"))
    with pytest.raises(ValueError, match="line 2: user id is not utf-8"):
        read_rows(path, TAB)
    assert read_rows(path, TAB._replace(encoding="latin-1")).users.tolist() == ["a", "ñ"]


def test_a_file_without_newlines_is_refused_early(path):
    path.write_text("1\t1\t1\t1\n" + "x" * 100)
    with mock.patch.object(delimited, "BLOCK_BYTES", 32), pytest.raises(ValueError, match="line 2: more than 32 bytes"):
        read_rows(path, TAB)


def test_line_of_row_skips_header_and_blank_lines(path):
    layout = TAB._replace(header_lines=1)
    path.write_text("h\n\n1\t1\t1\t1\n\n\n2\t2\t2\t2\n")
    assert [line_of_row(path, layout, row) for row in (0, 1)] == [3, 6]
    assert read_rows(path, layout).users.tolist() == [1, 2]
    with pytest.raises(IndexError):
        line_of_row(path, layout, 2)


def test_no_rows(path):
    path.write_text("")
    rows = read_rows(path, TAB)
    assert [len(column) for column in rows] == [0, 0, 0, 0]


def test_times_in_nanoseconds_keep_all_digits(path):
    """They have 19, more than float64 holds."""
    times = [1234567890123456789, 2**63 - 1, -1234567890123456789, 7]
    path.write_text("".join(f"1\t{row}\t3\t{time}\n" for row, time in enumerate(times)))
    assert read_rows(path, TAB).timestamps.tolist() == times
