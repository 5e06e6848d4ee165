"""The four forms of rating files and their tables, on a small invented data set."""

import codecs

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigc_fast.data import UNKNOWN, load_movielens

# Invented; (user, item, rating, timestamp), not in order.
RATINGS = [(3, 20, 4, 300), (1, 10, 5, 100), (1, 20, 3, 50), (3, 7, 1, 200), (2, 10, 2, 10)]
DENSE = np.array([[0, 5, 3], [0, 2, 0], [1, 0, 4]], np.float32)  # users 1, 2, 3 × items 7, 10, 20
TIMES = np.array([[0, 100, 50], [0, 10, 0], [200, 0, 300]])
TITLES = {
    7: ("Élan Vital", 1968, ("Drama", "Sci-Fi")),
    10: ("The Long Tail", 1995, ("Comedy",)),
    20: ("Nothing", UNKNOWN, ()),
}
PEOPLE = {1: (24, "F", "artist"), 2: (35, "M", "writer"), 3: (56, "F", "farmer")}


def _title(item):
    title, year, _ = TITLES[item]
    return title if year == UNKNOWN else f"{title} ({year})"


def write_recbole(folder):
    rows = "".join(f"{u}\t{i}\t{r}\t{t}\n" for u, i, r, t in RATINGS)
    (folder / "small.inter").write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + rows)
    items = "".join(
        f"{i}\t{title}\t{'unknown' if year == UNKNOWN else year}\t{' '.join(genres) or 'unknown'}\n"
        for i, (title, year, genres) in TITLES.items()
    )
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    (folder / "small.item").write_text(header + items, encoding="utf-8")
    people = "".join(f"{u}\t{age}\t{sex}\t{work}\t00000\n" for u, (age, sex, work) in PEOPLE.items())
    header = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    (folder / "small.user").write_text(header + people)
    return folder / "small.inter"


def write_ml100k(folder):
    (folder / "u.data").write_text("".join(f"{u}\t{i}\t{r}\t{t}\n" for u, i, r, t in RATINGS))
    names = ("unknown", "Comedy", "Drama", "Sci-Fi")
    (folder / "u.genre").write_text("".join(f"{name}|{code}\n" for code, name in enumerate(names)) + "\n")
    items = "".join(
        f"{i}|{_title(i)}|01-Jan-1990||http://example.org|"
        + "|".join(str(int(name in (TITLES[i][2] or ("unknown",)))) for name in names)
        + "\n"
        for i in TITLES
    )
    (folder / "u.item").write_text(items, encoding="latin-1")
    (folder / "u.user").write_text("".join(f"{u}|{a}|{s}|{w}|00000\n" for u, (a, s, w) in PEOPLE.items()))
    return folder / "u.data"


def write_ml1m(folder):
    (folder / "ratings.dat").write_text("".join(f"{u}::{i}::{r}::{t}\n" for u, i, r, t in RATINGS))
    items = "".join(f"{i}::{_title(i)}::{'|'.join(TITLES[i][2]) or '(no genres listed)'}\n" for i in TITLES)
    (folder / "movies.dat").write_text(items, encoding="latin-1")
    codes = {"artist": 2, "writer": 20, "farmer": 8}
    (folder / "users.dat").write_text("".join(f"{u}::{s}::{a}::{codes[w]}::00000\n" for u, (a, s, w) in PEOPLE.items()))
    return folder / "ratings.dat"


def write_csv(folder):
    rows = "".join(f"{u},{i},{r}.0,{t}\n" for u, i, r, t in RATINGS)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + rows)
    items = "".join(f'{i},"{_title(i)}",{"|".join(TITLES[i][2]) or "(no genres listed)"}\n' for i in TITLES)
    (folder / "movies.csv").write_text("movieId,title,genres\n" + items, encoding="utf-8")
    return folder / "ratings.csv"


FORMS = {"recbole": write_recbole, "ml-100k": write_ml100k, "ml-1m": write_ml1m, "csv": write_csv}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("by_folder", [False, True], ids=["file", "folder"])
def test_every_form_gives_the_same_ratings(tmp_path, form, by_folder):
    file = FORMS[form](tmp_path)
    ratings = load_movielens(tmp_path if by_folder else str(file))
    assert ratings.user_ids.tolist() == [1, 2, 3]
    assert ratings.item_ids.tolist() == [7, 10, 20]
    assert ratings.user_ids.dtype == ratings.item_ids.dtype == np.int64
    assert (ratings.n_users, ratings.n_items, ratings.n_ratings) == (3, 3, 5)
    assert ratings.user_items.dtype == np.float32
    assert ratings.user_items.has_canonical_format
    assert np.array_equal(ratings.user_items.toarray(), DENSE)
    assert ratings.timestamps.dtype == np.int64
    assert np.array_equal(ratings.timestamps.toarray(), TIMES)
    assert ratings.items.titles.tolist() == ["Élan Vital", "The Long Tail", "Nothing"]
    assert ratings.items.years.tolist() == [1968, 1995, UNKNOWN]
    assert ratings.items.genre_names == ("Comedy", "Drama", "Sci-Fi")
    assert ratings.items.genres.tolist() == [[False, True, True], [True, False, False], [False, False, False]]
    if form == "csv":
        assert ratings.users is None
    else:
        assert ratings.users.ages.tolist() == [24, 35, 56]
        assert ratings.users.genders.tolist() == ["F", "M", "F"]
        assert ratings.users.occupations.tolist() == ["artist", "writer", "farmer"]


def test_without_tables(tmp_path):
    write_ml100k(tmp_path)
    (tmp_path / "u.item").unlink()
    (tmp_path / "u.user").unlink()
    ratings = load_movielens(tmp_path / "u.data")
    assert ratings.items is None
    assert ratings.users is None
    assert np.array_equal(ratings.user_items.toarray(), DENSE)


def test_the_standard_genres_of_ml100k_need_no_file(tmp_path):
    (tmp_path / "u.data").write_text("1\t1\t5\t0\n")
    flags = ["0"] * 19
    flags[1] = flags[18] = "1"  # action, western
    (tmp_path / "u.item").write_text("1|Dust (1960)|||x|" + "|".join(flags) + "\n")
    assert load_movielens(tmp_path / "u.data").items.genre_names == ("Action", "Western")


def test_items_and_users_that_nobody_rated_are_there(tmp_path):
    file = write_recbole(tmp_path)
    file.write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n2\t10\t5\t1\n99\t98\t1\t1\n")
    ratings = load_movielens(file)
    assert ratings.user_ids.tolist() == [1, 2, 3, 99]
    assert ratings.item_ids.tolist() == [7, 10, 20, 98]
    assert ratings.user_items.toarray().tolist() == [[0, 0, 0, 0], [0, 5, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert ratings.items.titles.tolist()[3] == ""
    assert ratings.items.years.tolist()[3] == UNKNOWN
    assert not ratings.items.genres[3].any()
    assert ratings.users.ages.tolist()[3] == UNKNOWN


@pytest.mark.parametrize("form", [write_ml100k, write_ml1m])
def test_a_byte_order_mark_belongs_to_no_label(tmp_path, form):
    file = form(tmp_path)
    plain = load_movielens(file)
    for written in tmp_path.iterdir():
        if written.name != "u.genre":
            written.write_bytes(codecs.BOM_UTF8 + written.read_bytes())
    marked = load_movielens(file)
    assert np.array_equal(marked.user_ids, plain.user_ids)
    assert np.array_equal(marked.item_ids, plain.item_ids)
    assert np.array_equal(marked.items.years, plain.items.years)
    assert np.array_equal(marked.users.ages, plain.users.ages)


def test_header_names_columns_in_any_order(tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("\ufeffTimestamp,note,item_id,USER_ID\n5,x,b,ann\n6,y,a,bob\n", encoding="utf-8")
    ratings = load_movielens(file)
    assert ratings.user_ids.tolist() == ["ann", "bob"]
    assert ratings.item_ids.tolist() == ["a", "b"]
    assert ratings.user_items.toarray().tolist() == [[0, 1], [1, 0]]  # no rating column: 1
    assert ratings.timestamps.toarray().tolist() == [[0, 5], [6, 0]]
    file.write_text("user,item,rating\n1,1,0\n")
    ratings = load_movielens(file)
    assert ratings.timestamps is None
    assert ratings.user_items.nnz == 1  # a rating of 0 is a rating


def test_number_labels_beside_a_table_with_words(tmp_path):
    (tmp_path / "small.inter").write_text("user_id:token\titem_id:token\n1\t2\n10\t1\n")
    header = "item_id:token\tmovie_title:token_seq\n"
    (tmp_path / "small.item").write_text(header + "2\tTwo\nB7\tBee\n99999999999999999999\tBig\n")
    ratings = load_movielens(tmp_path / "small.inter")
    assert ratings.item_ids.tolist() == ["1", "2", "99999999999999999999", "B7"]
    assert ratings.items.titles.tolist() == ["", "Two", "Big", "Bee"]
    assert ratings.user_items.toarray().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 10)), unique_by=lambda row: row[:2], min_size=1
    )
)
@settings(max_examples=40, deadline=None)
def test_order_of_lines_does_not_matter(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("order") / "ratings.csv"
    dense = np.zeros((10, 10), np.float32)
    for user, item, half_stars in rows:
        dense[user, item] = half_stars / 2
    for order in (rows, rows[::-1]):
        file.write_text("userId,movieId,rating\n" + "".join(f"{u},{i},{r / 2}\n" for u, i, r in order))
        ratings = load_movielens(file)
        assert np.array_equal(ratings.user_items.toarray(), dense[np.ix_(ratings.user_ids, ratings.item_ids)])


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=2, max_size=20).filter(
        lambda pairs: len(set(pairs)) < len(pairs)
    )
)
@settings(max_examples=40, deadline=None)
def test_the_first_repeated_pair_is_named_with_both_lines(tmp_path_factory, pairs):
    file = tmp_path_factory.mktemp("repeat") / "u.data"
    file.write_text("\n" + "".join(f"{u}\t{i}\t1\t1\n" for u, i in pairs))
    second = next(place for place, pair in enumerate(pairs) if pair in pairs[:place])
    user, item = pairs[second]
    first = pairs.index((user, item))
    message = f"line {second + 2}: user {user} has rated item {item} already in line {first + 2}; "
    with pytest.raises(ValueError, match=message):
        load_movielens(file)


@pytest.mark.parametrize(
    ("form", "table", "line", "message"),
    [
        ("ml-100k", "u.item", "30|T (1990)|d||x|0|0\n", r"u.item, line 4: 7 field\(s\); a row of u.item has 9"),
        ("ml-100k", "u.item", "30|T (1990)|d||x|0|0|2|0\n", "u.item, line 4: genre flag '2' is neither 0 nor 1"),
        ("ml-100k", "u.item", "|T (1990)|d||x|0|0|0|0\n", "u.item, line 4: empty id"),
        ("ml-100k", "u.item", "7|T (1990)|d||x|0|0|0|0\n", "u.item, line 4: a second row for id 7"),
        ("ml-100k", "u.user", "9|old|F|artist|0\n", "u.user, line 4: age 'old' is not a number"),
        ("ml-100k", "u.user", "9|30|F\n", r"u.user, line 4: 3 field\(s\)"),
        ("ml-1m", "users.dat", "9::F::30::21::0\n", "users.dat, line 4: occupation '21' is no code from 0 to 20"),
        ("ml-1m", "movies.dat", "9::A::B::C\n", r"movies.dat, line 4: 4 field\(s\)"),
        ("csv", "movies.csv", "9,A\n", r"movies.csv, line 5: 2 field\(s\); the header has 3"),
        ("csv", "movies.csv", '9,"A,B\n', "movies.csv, line 5: bad quotes"),
        ("recbole", "small.item", "9\tA\n", r"small.item, line 5: 2 field\(s\); the header has 4"),
        ("recbole", "small.user", "9\tx\tF\ta\t0\n", "small.user, line 5: age 'x' is not a number"),
    ],
)
def test_broken_tables_are_named_by_file_and_line(tmp_path, form, table, line, message):
    file = FORMS[form](tmp_path)
    encoding = "latin-1" if table in ("u.item", "movies.dat") else "utf-8"
    with (tmp_path / table).open("a", encoding=encoding) as out:
        out.write(line)
    with pytest.raises(ValueError, match=message):
        load_movielens(file)


def test_tables_in_a_wrong_encoding_are_named(tmp_path):
    for form, table in (("csv", "movies.csv"), ("recbole", "small.item")):
        file = FORMS[form](tmp_path)
        (tmp_path / table).write_bytes((tmp_path / table).read_bytes() + b"9,\xff\xfe,x\n")
        with pytest.raises(ValueError, match=f"{table}: not (UTF-8|utf-8-sig) text"):
            load_movielens(file)


def test_movies_dat_may_be_latin_1_or_utf_8(tmp_path):
    file = write_ml1m(tmp_path)
    movies = tmp_path / "movies.dat"
    movies.write_text(movies.read_text(encoding="latin-1"), encoding="utf-8")
    assert load_movielens(file).items.titles[0] == "Élan Vital"


@pytest.mark.parametrize(
    ("text", "title", "year"),
    [
        ("Toy (1995)", "Toy", 1995),
        ("Toy (Jouet) (1995) (V)", "Toy (Jouet)", 1995),
        ("Toys (1995-1998)", "Toys", 1995),
        ("Toys (1995– )", "Toys (1995– )", UNKNOWN),
        ("2001 (a film)", "2001 (a film)", UNKNOWN),
        ("unknown", "", UNKNOWN),
    ],
)
def test_titles_and_years(tmp_path, text, title, year):
    (tmp_path / "ratings.csv").write_text("userId,movieId\n1,1\n")
    (tmp_path / "movies.csv").write_text(f'movieId,title,genres\n1,"{text}",X\n', encoding="utf-8")
    items = load_movielens(tmp_path).items
    assert (items.titles[0], items.years[0]) == (title, year)


def test_what_is_no_rating_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_movielens(tmp_path / "absent.csv")
    with pytest.raises(FileNotFoundError, match="holds none of"):
        load_movielens(tmp_path)
    (tmp_path / "ratings.txt").write_text("1 2 3 4\n")
    with pytest.raises(ValueError, match=r"ends in none of \.inter, \.data, \.dat, \.csv"):
        load_movielens(tmp_path / "ratings.txt")
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating\n")
    with pytest.raises(ValueError, match="holds no ratings"):
        load_movielens(tmp_path)
    (tmp_path / "ratings.csv").write_text("who,what,rating\n1,2,3\n")
    (tmp_path / "twice.csv").write_text("user,userId,itemId\n1,2,3\n")
    with pytest.raises(ValueError, match="line 1: the header 'user,userId,itemId' names several columns userid/user"):
        load_movielens(tmp_path / "twice.csv")
    with pytest.raises(ValueError, match="line 1: the header 'who,what,rating' names no column userid/user and"):
        load_movielens(tmp_path)
    write_ml1m(tmp_path)
    with pytest.raises(ValueError, match=r"several rating files \(ratings.csv, ratings.dat\)"):
        load_movielens(tmp_path)
