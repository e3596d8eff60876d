"""Arrow's stream interface against pyarrow's and polars's own values, and NumPy's."""

from __future__ import annotations

import datetime
import decimal
import gc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from fastnn.data import SQLDataset
from fastnn.databases.addresses import reader_of
from fastnn.databases.arrow_reader import ArrowReader
from fastnn.databases.reader import Block, Text, Wanted
from support.readers import read

pa = pytest.importorskip("pyarrow", reason="an independent writer of Arrow: pip install pyarrow")


def column(array: Any, **options: Any) -> np.ndarray:
    [numbers] = read(ArrowReader(pa.table({"a": array})), Wanted(["a"], **options))[0].T
    return numbers


def objects(array: Any) -> list[Any]:
    return read(ArrowReader(pa.table({"a": array})), Wanted([], others=["a"]))[1][0]


def chunked(array: Any) -> Any:
    """The same values in chunks that begin within buffers."""
    whole = pa.concat_arrays([array[:3], array, array])[3 : 3 + len(array)]
    return pa.chunked_array([whole[:0], whole[:1], whole[1:10], whole[10:]])


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("name", [*INTEGERS, "float16", "float32", "float64"])
@pytest.mark.parametrize("nulls", [False, True])
def test_numbers_of_each_type(name: str, nulls: bool) -> None:
    rng = np.random.default_rng(1)
    if name in INTEGERS:
        limits = np.iinfo(name)
        values = rng.integers(limits.min, limits.max, 1000, name, endpoint=True)
        values[:2] = limits.min, limits.max
    else:
        values = rng.normal(0, 100, 1000).astype(name)
        values[:3] = np.inf, -np.inf, np.nan
    mask = rng.random(1000) < 0.3 if nulls else None
    array = pa.array(values, mask=mask)
    expected = values.astype("f4")
    if mask is not None:
        expected[mask] = -7
    for each in (array, chunked(array)):
        np.testing.assert_array_equal(column(each, null=-7.0), expected)
        kept = objects(each)
        assert [type(value) for value in kept] == [type(value) for value in array.to_pylist()]
        np.testing.assert_array_equal(
            [np.nan if value is None else value for value in kept],
            [np.nan if value is None else value for value in array.to_pylist()],
        )


def test_rows_of_many_columns_in_blocks() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(70_001, 30))
    table = pa.table({f"c{i}": pa.chunked_array([x[:11, i], x[11:, i]]) for i in range(30)})
    names = [f"c{i}" for i in rng.permutation(30)]
    numbers, _ = read(ArrowReader(table), Wanted(names[:20], names[20:]))
    np.testing.assert_array_equal(numbers, x[:, [int(name[1:]) for name in names]].astype("f4"))
    sizes = [len(block.numbers) for block in ArrowReader(table).blocks(Wanted(names))]
    assert max(sizes) * 30 * 4 <= 2**20
    assert sizes[0] == 11


@pytest.mark.parametrize("nulls", [False, True])
def test_booleans_at_any_bit(nulls: bool) -> None:
    rng = np.random.default_rng(3)
    values, mask = rng.random(500) < 0.5, rng.random(500) < (0.2 if nulls else 0)
    array = pa.array(values, mask=mask)
    for start in range(20):
        np.testing.assert_array_equal(column(array[start:], null=9), np.where(mask, 9, values)[start:])
        assert objects(array[start:]) == array[start:].to_pylist()


DIGITS = {"decimal32": 9, "decimal64": 18, "decimal128": 38, "decimal256": 76}


@pytest.mark.parametrize(
    ("kind", "scale"), [(kind, scale) for kind in DIGITS for scale in (0, 2, 22, 30) if scale < DIGITS[kind]]
)
def test_decimals_as_doubles_would_be(kind: str, scale: int) -> None:
    digits = DIGITS[kind]
    rng = np.random.default_rng(4)
    exactly = decimal.Context(prec=80)
    wholes = ["".join(map(str, rng.integers(0, 10, n))) for n in rng.integers(1, digits, 300)]
    values = [exactly.scaleb(Decimal(whole), -scale) for whole in wholes]
    values = [value if value < Decimal("3e38") else Decimal(3) for value in values]
    values[::2] = [-value for value in values[::2]]
    array = pa.array([*values, None], getattr(pa, kind)(digits, scale))
    np.testing.assert_array_equal(column(chunked(array), null=-1), [*np.array(values, float).astype("f4"), -1])
    assert objects(chunked(array)) == [*values, None]
    beside = pa.table({"b": np.arange(len(array)), "a": array})
    numbers, _ = read(ArrowReader(beside), Wanted(["b", "a"], null=-1))
    np.testing.assert_array_equal(numbers[:, 1], column(array, null=-1))
    with pytest.raises(ValueError, match=f"column 'a' is NULL in row {len(array)}"):
        column(array)


@pytest.mark.parametrize("value", [5, -(2**53), 2**53 + 1, 2**64 + 5, -(2**64) - 5, 2**120])
def test_a_decimal_alone_in_what_it_is_read_from(value: int) -> None:
    array = pa.array([Decimal(value) / 4, None], pa.decimal128(38, 2))
    np.testing.assert_array_equal(column(array, null=-1), np.array([value / 4, -1], "f4"))
    with pytest.raises(ValueError, match="column 'a' is NULL in row 2"):
        column(array)


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "binary", "large_binary", "binary_view"])
def test_texts_and_blobs(kind: str) -> None:
    values: list[Any] = ["", "a", "ü" * 20, None, "12 bytes now", "13 bytes here", "x" * 1000, None, ""] * 3
    if "binary" in kind:
        values = [None if value is None else value.encode() for value in values]
    array = pa.array(values, getattr(pa, kind)())
    assert objects(array) == values
    pieces = pa.chunked_array([array[2:7], array[:0], array[20:]])
    assert objects(pieces) == values[2:7] + values[20:]
    assert objects(array[:0]) == []
    for encoded in (array.dictionary_encode(), array.dictionary_encode()[4:9]) if "view" not in kind else ():
        assert objects(encoded) == encoded.to_pylist()


def test_blobs_of_one_size_and_columns_of_nothing() -> None:
    assert objects(pa.array([b"ab", None, b"cd"], pa.binary(2))[1:]) == [None, b"cd"]
    assert objects(pa.nulls(3)) == [None, None, None]
    np.testing.assert_array_equal(column(pa.nulls(3), null=5), [5, 5, 5])


def test_a_dictionary_of_numbers() -> None:
    array = pa.array([1.5, None, 2.5, 1.5]).dictionary_encode()
    np.testing.assert_array_equal(column(array, null=0), [1.5, 0, 2.5, 1.5])
    changing = pa.chunked_array([pa.array(each).dictionary_encode() for each in ([1, 2], [7, 1], [2])])
    np.testing.assert_array_equal(column(changing), [1, 2, 7, 1, 2])
    hollow = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], "int8"), pa.array([None, 4], "int64"))
    np.testing.assert_array_equal(column(hollow, null=-1), [-1, 4, -1])


def test_invalid_utf_8_is_a_text_whose_bytes_are_kept() -> None:
    bad = pa.StringArray.from_buffers(2, pa.array([b"ok", b"\xff\xfe"]).buffers()[1], pa.py_buffer(b"ok\xff\xfe"))
    first, second = objects(bad)
    assert first == "ok"
    assert isinstance(second, Text)
    assert second == b"\xff\xfe"
    with pytest.raises(ValueError, match=r"column 'a' holds text \('ok'\) in row 1"):
        column(bad)


UTC = datetime.UTC
TIMES = [
    (pa.date32(), [datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    (pa.date64(), [datetime.date(1969, 12, 31), datetime.date(2024, 2, 29)]),
    (pa.time32("s"), [datetime.time(23, 59, 59)]),
    (pa.time32("ms"), [datetime.time(1, 2, 3, 4000)]),
    (pa.time64("us"), [datetime.time(1, 2, 3, 4)]),
    (pa.timestamp("s"), [datetime.datetime(1960, 1, 2, 3, 4, 5)]),
    (pa.timestamp("ms"), [datetime.datetime(2020, 1, 2, 3, 4, 5, 6000)]),
    (pa.timestamp("us"), [datetime.datetime(2020, 1, 2, 3, 4, 5, 6)]),
    (pa.timestamp("ns"), [datetime.datetime(2020, 1, 2, 3, 4, 5, 6)]),
    (pa.timestamp("us", "Europe/Berlin"), [datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)]),
    (pa.duration("ms"), [datetime.timedelta(days=-1, seconds=3)]),
]


@pytest.mark.parametrize(("kind", "values"), TIMES, ids=[str(kind) for kind, _ in TIMES])
def test_times_are_python_s_and_no_numbers(kind: Any, values: list[Any]) -> None:
    array = pa.array([None, *values, None], kind)
    assert objects(array) == [None, *values, None]
    assert objects(array[1:]) == [*values, None]
    name = "datetime" if "timestamp" in str(kind) else "timedelta" if "duration" in str(kind) else str(kind)[:4]
    with pytest.raises(ValueError, match=f"column 'a' holds a {name} in row 2 of the query, where a number"):
        column(array, null=0)


def test_a_time_that_is_not_there_may_be_anything() -> None:
    buffers = [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([2**62, 1], "i8"))]
    assert objects(pa.Array.from_buffers(pa.time64("us"), 2, buffers)) == [None, datetime.time(0, 0, 0, 1)]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([[1.0, 2.0]]), "column 'a' holds lists or structs; select each"),
        (pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)), "holds lists or structs"),
        (pa.array([{"x": 1}]), "holds lists or structs"),
        (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), "holds intervals"),
    ],
)
def test_what_has_no_one_value_a_row_is_refused_and_may_lie_beside(array: Any, message: str) -> None:
    table = pa.table({"a": array, "b": [2.0]})
    as_it_is = (
        [] if pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type) else [Wanted([], others=["a"])]
    )
    for wanted in (Wanted(["a"]), Wanted(["b"], ["a"]), *as_it_is):
        with pytest.raises(ValueError, match=message):
            list(ArrowReader(table).blocks(wanted))
    assert read(ArrowReader(table), Wanted(["b"]))[0].tolist() == [[2.0]]


def table_with(row: int, name: str, value: Any) -> Any:
    columns: dict[str, list[Any]] = {"a": [type(value or 1.0)(1)] * 5000, "b": [type(value or 1.0)(2)] * 5000}
    columns[name][row] = value
    return pa.table(columns)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "column 'b' is NULL in row 4322 of the query, where a number is expected; pass null="),
        (1e39, r"column 'b' holds 1e\+39, beyond float32's range of .* in row 4322"),
        (-3.5e38, r"column 'b' holds -3.5e\+38, beyond"),
        (Decimal(10**40), r"column 'b' holds Decimal\('10*'\), beyond"),
    ],
)
def test_what_is_no_number_is_refused_with_its_row(value: Any, message: str) -> None:
    table = table_with(4321, "b", value)
    for source in (table, table.combine_chunks(), pa.Table.from_batches(table.to_batches(999))):
        with pytest.raises(ValueError, match=message):
            list(ArrowReader(source).blocks(Wanted(["a", "b"])))


def test_the_first_row_is_named_and_in_it_the_first_column() -> None:
    table = pa.table({"a": [1.0, 1, None, None], "b": [1.0, None, 1, 1], "t": ["x", "x", "x", "x"]})
    with pytest.raises(ValueError, match="column 'b' is NULL in row 2"):
        list(ArrowReader(table).blocks(Wanted(["a", "b"])))
    for other in (pa.table({"a": [1, None, 1], "b": [1, 1, None]}), pa.table({"a": [1, None], "b": [1, None]})):
        with pytest.raises(ValueError, match="column 'a' is NULL in row 2"):
            list(ArrowReader(other).blocks(Wanted(["a", "b"])))
    with pytest.raises(ValueError, match=r"column 't' holds text .* in row 1"):
        list(ArrowReader(table).blocks(Wanted(["a", "b", "t"])))
    with pytest.raises(ValueError, match="column 'a' is NULL in row 1"):
        list(ArrowReader(table.slice(2)).blocks(Wanted(["a", "t"])))
    with pytest.raises(ValueError, match=r"column 't' holds text .* in row 1"):
        list(ArrowReader(table.slice(2)).blocks(Wanted(["t", "a"])))


def test_the_last_number_that_float32_holds_passes() -> None:
    largest = float(np.finfo("f4").max)
    np.testing.assert_array_equal(column(pa.array([largest, -largest])), [largest, -largest])
    with pytest.raises(ValueError, match="beyond float32's range"):
        column(pa.array([1.0, float(np.nextafter(np.float64(largest + 2.0**103), np.inf))]))


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.int32(), pa.decimal128(20, 0), pa.decimal128(20, 2)])
def test_a_target_that_float32_would_round_is_refused(kind: Any) -> None:
    for value in (2**24 + 1, 2**24 + 3, 2**31 - 1 if kind == pa.int32() else 2**53 + 1):
        table = pa.table({"y": pa.array([1, value], kind)})
        assert len(read(ArrowReader(table), Wanted(["y"]))[0]) == 2
        with pytest.raises(ValueError, match=rf"target 'y' holds the whole number {value}.* in row 2"):
            list(ArrowReader(table).blocks(Wanted([], ["y"])))
    exact = pa.table({"y": pa.array([2**24, 2**24 + 2, 2**30], kind)})
    assert read(ArrowReader(exact), Wanted([], ["y"]))[0].T.tolist() == [[2**24, 2**24 + 2, 2**30]]


def test_a_target_of_floats_is_rounded_and_never_null() -> None:
    assert read(ArrowReader(pa.table({"y": [2.0**24 + 1]})), Wanted([], ["y"]))[0].tolist() == [[2.0**24]]
    with pytest.raises(ValueError, match=r"column 'y' is NULL in row 2 .*IS NOT NULL"):
        list(ArrowReader(pa.table({"y": [1.0, None]})).blocks(Wanted([], ["y"], null=0)))


class Stream:
    """What gives a capsule of an array of structs, as it is."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.chunked_array([self.array]).__arrow_c_stream__()


def test_a_row_that_is_null_as_a_whole() -> None:
    rows = pa.array([{"a": 1.0, "b": "x"}, None, {"a": 3.0, "b": "z"}])
    for each, kept in ((rows, [1, -1, 3]), (rows[1:], [-1, 3]), (rows[2:], [3])):
        numbers, [texts] = read(ArrowReader(Stream(each)), Wanted(["a"], others=["b"], null=-1))
        assert numbers.T.tolist() == [kept]
        assert texts == ["x", None, "z"][-len(kept) :]
    own = [pa.array([1.0, 2.0, None]), pa.array(["x", "y", None])]
    hollow = pa.StructArray.from_arrays(own, ["a", "b"], mask=pa.array([False, True, False]))
    numbers, [texts] = read(ArrowReader(Stream(hollow)), Wanted(["a"], others=["b"], null=-1))
    assert numbers.T.tolist() == [[1, -1, -1]]
    assert texts == ["x", None, None]


def test_an_array_is_no_table() -> None:
    with pytest.raises(ValueError, match="con cannot be read; the stream says: it is no table but one array"):
        ArrowReader(pa.chunked_array([[1.0]]))


def test_no_rows_and_no_batches() -> None:
    empty = pa.table({"a": pa.array([], "float64"), "t": pa.array([], "string")})
    for table in (
        empty,
        pa.Table.from_batches([], empty.schema),
        pa.Table.from_batches(empty.to_batches() * 2, empty.schema),
    ):
        numbers, others = read(ArrowReader(table), Wanted(["a"], others=["t"]))
        assert numbers.shape == (0, 1)
        assert others == [[]]
        with pytest.raises(ValueError, match="no rows"):
            list(SQLDataset(None, table, target="a", features=["a"][:0] or ["t"]).pages(1))


def test_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="more than one column the name 'a'"):
        ArrowReader(pa.table([[1], [2]], names=["a", "a"]))


def test_a_stream_that_fails_says_how_far_it_came() -> None:
    schema = pa.schema({"a": pa.float64()})

    def batches() -> Any:
        yield pa.record_batch({"a": [1.0, 2.0]})
        raise OSError("the wire\nis cut")

    reader = ArrowReader(lambda: pa.RecordBatchReader.from_batches(schema, batches()))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"the query failed after 2 rows; the stream says: .*the wire is cut"):
            list(reader.blocks(Wanted(["a"])))


def test_a_function_is_asked_for_each_pass_and_other_columns_are_noticed() -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(pa.table({"a" if len(made) < 2 else "b": [1.0]}).to_reader())
        return made[-1]

    reader = ArrowReader(make)
    for _ in range(2):
        assert read(reader, Wanted(["a"]))[0].tolist() == [[1.0]]
    assert len(made) == 2
    with pytest.raises(ValueError, match="columns have changed: they were 'a' and are now 'b'"):
        read(reader, Wanted(["a"]))
    with pytest.raises(TypeError, match="con must give an object with __arrow_c_stream__, and gave a int"):
        ArrowReader(lambda: 5)


def test_what_can_be_read_once_is_read_once() -> None:
    reader = ArrowReader(pa.table({"a": [1.0]}).to_reader())
    assert len(read(reader, Wanted(["a"]))[0]) == 1
    with pytest.raises(ValueError, match=r"a RecordBatchReader, which can be read once.*pass a table, or a function"):
        read(reader, Wanted(["a"]))


def test_memory_is_let_go() -> None:
    """By the end of a pass, by a pass that is left, and where nobody reads at all."""
    gc.collect()
    before = pa.total_allocated_bytes()
    for leave in (False, True):
        table = pa.table({"a": np.arange(100_000.0), "t": ["x" * 30] * 100_000})
        reader = ArrowReader(table)
        ArrowReader(table)
        blocks = reader.blocks(Wanted(["a"], others=["t"]))
        next(blocks)
        if leave:
            blocks.close()
        else:
            assert sum(len(block.numbers) for block in blocks) > 0
        del table, reader, blocks
        gc.collect()
        assert pa.total_allocated_bytes() <= before


def test_blocks_stay_when_their_batch_has_gone() -> None:
    table = pa.table({"a": np.arange(1000.0), "t": [str(i) for i in range(1000)]})
    blocks: list[Block] = list(ArrowReader(table).blocks(Wanted(["a"], others=["t"])))
    del table
    gc.collect()
    assert blocks[0].numbers[:, 0].tolist() == list(range(1000))
    assert blocks[0].others[0].tolist() == [str(i) for i in range(1000)]


def test_frames_of_polars() -> None:
    polars = pytest.importorskip("polars", reason="pip install polars")
    frame = polars.DataFrame(
        {
            "a": [1, None, 3],
            "t": ["x", "y", None],
            "c": polars.Series(["u", "v", "u"], dtype=polars.Categorical),
            "d": [datetime.date(2020, 1, 1)] * 3,
            "y": [0.5, 1.5, 2.5],
        }
    )
    numbers, others = read(ArrowReader(frame), Wanted(["a"], ["y"], ["t", "c", "d"], null=0))
    assert numbers.tolist() == [[1, 0.5], [0, 1.5], [3, 2.5]]
    assert others == [frame[name].to_list() for name in ("t", "c", "d")]


@pytest.mark.parametrize("limit", [0, 2**20])
@pytest.mark.parametrize("make", [lambda t: t, lambda t: lambda: t.to_reader(max_chunksize=7)])
def test_a_dataset_of_a_stream(make: Callable[[Any], Any], limit: int) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(100, 2)), rng.integers(0, 3, 100)
    table = pa.table({"a": x[:, 0], "y": y, "b": x[:, 1]})
    dataset = SQLDataset(None, make(table), target="y", memory_limit=limit, cache=False)
    assert dataset.columns == ("a", "b")
    for _ in range(2):
        pages = list(dataset.pages(10))
        np.testing.assert_array_equal(np.concatenate([page.x for page in pages]), x.astype("f4"))
        np.testing.assert_array_equal(np.concatenate([page.y for page in pages])[:, 0], y)


def test_a_stream_goes_without_a_query() -> None:
    table = pa.table({"a": [1.0]})
    with pytest.raises(TypeError, match="con is a Table, which is read as it is; pass None for sql"):
        reader_of("SELECT 1", table)
    with pytest.raises(TypeError, match="sql must be one SELECT, got None"):
        SQLDataset(None, "nowhere.db", target="y")
    with pytest.raises(TypeError, match=r"con must be a path, a URL, an open connection, or .* got int"):
        SQLDataset(None, 5, target="y")
