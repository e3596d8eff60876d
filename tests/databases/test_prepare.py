"""``prepare=`` of a dataset: which layers a model begins with, what they know, and what a new row may hold."""

from __future__ import annotations

import re
from datetime import date, timedelta

import numpy as np
import pytest

import fastnn
from fastnn import Sequential
from fastnn.data import SQLDataset
from fastnn.layers import Concatenate, Dense, Input, Scaler
from fastnn.models import Model, load_model
from support.database import connect

ROWS = 600
CREATE = """CREATE TABLE shop (id INTEGER PRIMARY KEY, km REAL, "price, net" REAL, pay REAL, colour TEXT, city TEXT,
    amount TEXT, "when" TEXT, empty REAL, one TEXT, code TEXT, seller_id INTEGER, kind TEXT, y REAL)"""


def rows() -> list[tuple]:
    rng = np.random.default_rng(5)
    found = []
    for i in range(ROWS):
        colour = ["red", "blue", "it's green"][int(rng.integers(3))]
        km = float(rng.normal(30, 4))
        found.append(
            (
                i + 1,
                km,
                None if i % 6 == 0 else float(rng.normal()),
                float(rng.lognormal(3, 1.5)),
                colour,
                f"city {int(rng.integers(30))}" if i % 100 else f"village {i}",
                "" if i % 10 == 0 else f"{rng.normal():.3f}",
                None if i % 9 == 0 else str(date(2025, 1, 1) + timedelta(days=i)),
                None,
                "same",
                f"k{i}",
                int(rng.choice([900, 17, 33])),
                "small" if km < 28 else "large" if km > 33 else "middle",
                km * 2 + (colour == "red") * 30,
            )
        )
    return found


@pytest.fixture(scope="module")
def table() -> list[tuple]:
    return rows()


@pytest.fixture
def shop(tmp_path, table) -> str:
    path = str(tmp_path / "shop.db")
    with connect(path) as con:
        con.execute(CREATE)
        con.executemany(f"INSERT INTO shop VALUES ({', '.join('?' * 14)})", table)
    return path


def dataset(path, target="y", prepare="auto", sql="SELECT * FROM shop", leave=("kind", "y"), **options) -> SQLDataset:
    features = options.pop("features", None)
    if features is None:
        with connect(path) as con:
            names = [each[0] for each in con.execute(sql).description]
        features = [name for name in names if name not in (*leave, "id")]
    return SQLDataset(sql, path, target=target, features=features, key="id", prepare=prepare, **options)


def fitted(
    data: SQLDataset, units: int = 1, activation: str = "linear", epochs: int = 1, verbose: int = 0
) -> Sequential:
    fastnn.set_random_seed(1)
    model = Sequential([Dense(8, "relu"), Dense(units, activation)])
    loss = {"linear": "mse", "sigmoid": "binary_crossentropy", "softmax": "sparse_categorical_crossentropy"}[activation]
    model.compile("adam", loss)
    model.fit(data, epochs=epochs, verbose=verbose)
    return model


def choices(model: Sequential) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in model.description.notes["preparation"]}


def test_what_is_chosen(shop, table, capsys):
    model = fitted(dataset(shop), verbose=2)
    found = choices(model)
    assert {name: row[1] for name, row in found.items()} == {
        "km": "standardised",
        "price, net": "standardised",
        "pay": "log(1 + x), standardised",
        "colour": "one-hot, 3 numbers",
        "city": "embedding of 11",
        "amount": "standardised",
        "when": "time, month, weekday",
        "empty": "left out: all NULL",
        "one": "left out: always the same",
        "code": "left out: no value comes twice",
        "seller_id": "one-hot, 3 numbers",
    }
    assert found["price, net"][2:] == ["mean and an indicator", ""]
    assert found["km"][2:] == ["error", ""]
    assert found["city"][2:] == ["error", "with the rare ones"]
    assert found["colour"][2:] == ["error", "error"]
    assert found["when"][2:] == ["zeros and an indicator", ""]
    assert "16.7 % NULL" in found["price, net"][0]
    printed = capsys.readouterr().out
    assert printed.startswith("column")
    assert all(name in printed for name in found)
    fitted(dataset(shop))
    assert capsys.readouterr().out == ""


def test_the_engine_s_rows_are_those_of_numpy(shop, table):
    """Each column's numbers, worked out again from Python's rows."""
    names = ["km", "price, net", "pay", "colour", "amount", "seller_id"]
    data = dataset(shop, features=names, cache=False)
    model = fitted(data)
    front = model.description.front
    (page,) = data.through(model.description.reads()).pages(ROWS)
    columns = dict(
        zip(["id", "km", "price, net", "pay", "colour", "city", "amount"], zip(*table, strict=True), strict=False)
    )

    def standard(values, missing=False):
        numbers = np.array([np.nan if each in (None, "") else float(each) for each in values])
        if not missing:
            return [(numbers - numbers.mean()) / numbers.std()]
        absent = np.isnan(numbers)
        return [np.where(absent, 0, (numbers - np.nanmean(numbers)) / np.nanstd(numbers)), absent]

    pay = np.log1p(np.array(columns["pay"]))
    expected = [
        *standard(columns["km"]),
        *standard(columns["price, net"], True),
        (pay - pay.mean()) / pay.std(),
        *standard(columns["amount"], True),
    ]
    x = np.asarray(page.x)
    assert x.shape == (ROWS, front.width)
    # By the layers, since the order of the engine's numbers is the front's.
    for column in expected:
        apart = np.abs(x - np.asarray(column, float)[:, None]).max(axis=0)
        assert apart.min() < 1e-4
    one_hot = x[:, [place for place in range(x.shape[1]) if set(np.unique(x[:, place])) == {0.0, 1.0}]]
    assert one_hot.sum() == ROWS * 2 + sum(map(bool, expected[2])) + sum(map(bool, expected[5]))


def test_categories_are_in_the_order_of_their_frequency(shop, table):
    colours = [row[4] for row in table]
    model = fitted(dataset(shop, features=["colour"]))
    found = model.layers[0].get_layer("colour_lookup").get_vocabulary()
    assert found == sorted(set(colours), key=lambda each: (-colours.count(each), each))


@pytest.mark.parametrize("least", [-1, -5, 3])
def test_whole_numbers_that_name_something_with_null(tmp_path, least):
    path = str(tmp_path / "ids.db")
    with connect(path) as con:
        con.execute("CREATE TABLE t (shop_id INTEGER, y REAL)")
        values = [None, least, 0, -1, 7]
        con.executemany("INSERT INTO t VALUES (?, ?)", ((values[i % 5], float(i % 5)) for i in range(500)))
    fastnn.set_random_seed(1)
    model = Sequential([Dense(1)])
    model.compile(fastnn.optimizers.Adam(0.1), "mse")
    model.fit(SQLDataset("SELECT * FROM t", path, target="y", prepare="auto"), epochs=150, verbose=0)
    assert choices(model)["shop_id"][2] == "a category of its own"
    found = model.predict({"shop_id": values}, verbose=0).ravel()
    means = [np.mean([i for i in range(5) if values[i] == value]) for value in values]
    np.testing.assert_allclose(found, means, atol=0.2)


def test_null_where_another_column_may_be_missing_and_this_one_not(shop):
    scaler = Scaler(missing="mean")
    scaler.adapt(np.array([[1.0], [3.0]]))
    km, net = Input((1,)), Input((1,))
    model = Model({"km": km, "price, net": net}, Dense(1)(Concatenate()([km, scaler(net)])))
    sql = 'SELECT id, km, "price, net" FROM shop'
    assert model.predict_sql(sql, shop, into="guess", key="id") == ROWS
    with pytest.raises(ValueError, match="column 'km' is NULL in row 7 of the query"):
        model.predict_sql(sql.replace("km,", "CASE id WHEN 7 THEN NULL ELSE km END AS km,"), shop, into="g", key="id")


def test_it_learns_and_is_saved_with_the_model(shop, tmp_path, table):
    data = dataset(shop, features=["km", "colour"])
    fastnn.set_random_seed(2)
    model = Sequential([Dense(32, "relu"), Dense(1)])
    model.compile(fastnn.optimizers.Adam(0.02), "mse")
    model.fit(data, epochs=120, verbose=0)
    loss = model.evaluate(data, verbose=0)
    assert loss < 0.02 * np.var([row[-1] for row in table])
    path = tmp_path / "m.fastnn"
    model.save(path)
    again = load_model(path)
    assert again.evaluate(SQLDataset("SELECT km, colour, y FROM shop", shop, target="y"), verbose=0) == loss
    raw = {"km": [30.0, 31.0], "colour": ["red", "blue"]}
    assert np.array_equal(again.predict(raw, verbose=0), model.predict(raw, verbose=0))
    assert again.description.notes["preparation"] == model.description.notes["preparation"]


def test_statistics_are_those_of_the_training_part(shop, table):
    data = dataset(shop, features=["km"])
    train, validation = data.split(0.3)
    model = fitted(train)
    model.evaluate(validation, verbose=0)
    scaler = model.layers[0].get_layer("km_scaler")
    ours = np.concatenate(
        [
            page.x
            for page in SQLDataset("SELECT id, km, y FROM shop", shop, target="y", key="id").split(0.3)[0].pages(64)
        ]
    )
    assert scaler.center[0] == pytest.approx(ours.mean(dtype=float), rel=1e-6)
    assert scaler.center[0] != pytest.approx(np.mean([row[1] for row in table]), rel=1e-6)


def test_predictions_take_raw_rows_and_columns_that_are_left_out(shop):
    model = fitted(dataset(shop))
    sql = 'SELECT id, km, "price, net", pay, colour, city, amount, "when", empty, one, code, seller_id FROM shop'
    assert model.predict_sql(sql, shop, into="guess", key="id") == ROWS
    less = sql.replace("empty, one, code, ", "")
    assert model.predict_sql(less, shop, into="guess", key="id", mode="replace") == ROWS
    with connect(shop) as con:
        model.register_sqlite(con)
        arguments = 'km, "price, net", pay, colour, city, amount, "when", seller_id'
        query = f"SELECT max(abs(predict({arguments}) - prediction)), count(*) FROM shop JOIN guess USING (id)"
        apart, count = con.execute(query).fetchone()
    assert count == ROWS
    assert apart < 1e-5


def test_what_a_new_row_may_not_hold(shop):
    model = fitted(dataset(shop, features=["km", "colour", "when"]))
    ask = 'SELECT 1 AS id, {} AS km, {} AS colour, {} AS "when"'

    def predict(km="30.0", colour="'red'", when="'2025-01-01'"):
        return model.predict_sql(ask.format(km, colour, when), shop, into="guess", key="id", mode="replace")

    assert predict() == 1
    assert predict(when="NULL") == 1
    with pytest.raises(ValueError, match=r"'colour_lookup': row 1: .*found OOV values \['pink'\]"):
        predict(colour="'pink'")
    with pytest.raises(ValueError, match="'km' is NULL in row 1"):
        predict(km="NULL")
    with pytest.raises(ValueError, match="column 'colour' of the query has no text at row 1"):
        predict(colour="NULL")
    with pytest.raises(ValueError, match="'when_date_parts': row 1: holds 'soon'"):
        predict(when="'soon'")
    with pytest.raises(ValueError, match="the query has no column 'colour', which the model reads"):
        model.predict_sql("SELECT 1 AS id, 2.0 AS km, '2025-01-01' AS \"when\"", shop, into="g", key="id")
    with pytest.raises(ValueError, match=r"has the column.*'odd', which the model does not read"):
        model.predict_sql(ask.format("1.0", "'red'", "NULL") + ", 3 AS odd", shop, into="g", key="id")


def test_rules_that_the_user_chose(shop, table):
    rules = {
        "km": {"as": "min_max", "optional": True},
        "price, net": {"as": "robust", "missing": "median", "indicator": False},
        "colour": {"unknown": "other", "missing": True},
        "city": "hashing",
        "when": {"as": "date", "components": ("month",)},
        "seller_id": "standard",
        "code": "skip",
    }
    data = dataset(shop, prepare=rules, features=list(rules))
    model = fitted(data)
    found = choices(model)
    assert found["km"][1:3] == ["scaled to 0 ... 1", "mean"]
    assert found["price, net"][1:3] == ["scaled by quartiles", "median"]
    assert found["colour"][1:] == ["one-hot, 4 numbers", "a category of its own", "other"]
    assert found["city"][1] == "hashed to 4096, embedding of 32"
    assert found["when"][1] == "month"
    assert found["seller_id"][1] == "standardised"
    assert found["code"][1] == "left out, as was asked"
    sql = 'SELECT 1 AS id, NULL AS "price, net", NULL AS colour, \'Rome\' AS city, NULL AS "when", 3 AS seller_id'
    ((keys, first),) = model.predict_iter(sql, shop, key="id")
    assert keys == [1]
    full = {"km": [None], "price, net": [None], "colour": [None], "city": ["Rome"], "when": [None], "seller_id": [3]}
    assert np.array_equal(model.predict(full, verbose=0), first)
    full.pop("km")
    assert np.array_equal(model.predict(full, verbose=0), first)
    full["colour"] = ["pink"]
    assert np.isfinite(model.predict(full, verbose=0)).all()


@pytest.mark.parametrize("columns", [3, 2])
def test_a_target_of_text(shop, tmp_path, columns):
    sql = "SELECT id, km, kind FROM shop" + (" WHERE kind <> 'middle'" if columns == 2 else "")
    data = SQLDataset(sql, shop, target="kind", key="id", prepare="auto")
    train, validation = data.split(0.3)
    fastnn.set_random_seed(1)
    model = Sequential([Dense(16, "relu"), Dense(3, "softmax") if columns == 3 else Dense(1, "sigmoid")])
    loss = "sparse_categorical_crossentropy" if columns == 3 else "binary_crossentropy"
    model.compile(fastnn.optimizers.Adam(0.05), loss, metrics=["accuracy"])
    model.fit(train, validation_data=validation, epochs=40, verbose=0)
    assert model.evaluate(validation, verbose=0)[1] > 0.95
    path = tmp_path / "m.fastnn"
    model.save(path)
    model = load_model(path)
    assert model.evaluate(SQLDataset(sql, shop, target="kind", key="id"), verbose=0)[1] > 0.95
    count = model.predict_sql(sql.replace(", kind FROM", " FROM"), shop, into="guess", key="id")
    with connect(shop) as con:
        right = con.execute("SELECT sum(kind = prediction) FROM shop JOIN guess USING (id)").fetchone()[0]
        kinds = {each for (each,) in con.execute("SELECT DISTINCT prediction FROM guess")}
        model.register_sqlite(con)
        model.register_sqlite(con, "how_sure", output="probability")
        assert (
            con.execute("SELECT count(*) FROM shop JOIN guess USING (id) WHERE predict(km) = prediction").fetchone()[0]
            == count
        )
        assert con.execute("SELECT min(how_sure(km)) FROM shop").fetchone()[0] >= 0.3
    assert right > 0.95 * count
    assert kinds == ({"small", "middle", "large"} if columns == 3 else {"small", "large"})
    with pytest.raises(ValueError, match="target 'kind' is 'huge' in row 1 of the query, which is none"):
        model.evaluate(SQLDataset("SELECT 1.0 AS km, 'huge' AS kind", shop, target="kind"), verbose=0)
    with pytest.raises(ValueError, match="'kind' is NULL in row 1"):
        model.evaluate(SQLDataset("SELECT 1.0 AS km, NULL AS kind", shop, target="kind"), verbose=0)


def test_a_model_of_too_few_outputs_for_its_classes(shop):
    model = fitted(
        SQLDataset("SELECT km, kind FROM shop WHERE kind <> 'middle'", shop, target="kind", prepare="auto"),
        3,
        "softmax",
    )
    with pytest.raises(ValueError, match="one of 2 classes, 'large', 'small', and the model has 3 output"):
        model.predict_sql("SELECT id, km FROM shop", shop, into="guess", key="id")


@pytest.mark.parametrize(
    ("prepare", "error", "message"),
    [
        ("all", TypeError, 'prepare must be "auto" or a dict by column'),
        ({"kms": "log"}, ValueError, "there is no feature 'kms'.*did you mean 'km'"),
        ({"km": "logs"}, ValueError, "unknown preparation 'logs'.*did you mean 'log'"),
        ({"km": 3}, TypeError, "must be one of auto, standard"),
        ({"km": {"fill": 0}}, ValueError, "unknown option 'fill'"),
        ({"km": {"as": "standard", "bins": 3}}, ValueError, "'bins' goes with hashing, and not with 'standard'"),
        ({"colour": "standard"}, ValueError, "'standard' is for numbers, and the column holds text, 3 different"),
        ({"km": "date"}, ValueError, "'date' is for dates, and the column holds numbers"),
        ({"empty": "standard"}, ValueError, "is all NULL, so it cannot become 'standard'"),
        ({"price, net": "log"}, ValueError, "'log' is for numbers from 0 on"),
        ({"price, net": {"missing": "error"}}, ValueError, "column 'price, net' is NULL in 100 rows"),
        ({"when": {"missing": "error"}}, ValueError, "column 'when' has no date in 67 rows"),
        ({"colour": {"unknown": "new"}}, ValueError, "unknown must be 'error' or 'other'"),
        ({"km": {"missing": "mode"}}, (TypeError, ValueError), "missing must be"),
    ],
)
def test_odd_rules(shop, prepare, error, message):
    with pytest.raises(error, match=message):
        fitted(dataset(shop, prepare=prepare))


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT NULL AS a, 1.0 AS y", "no column of the query is of use as it is: 'a' left out: all NULL"),
        ("SELECT 1 AS a, 1.0 AS y WHERE 0", "no column of the query is of use|gives no rows"),
        ("SELECT x'00' AS a, 1.0 AS y", r"column 'a' holds b'\\x00'"),
        ("SELECT CAST(x'ff41' AS TEXT) AS a, 1.0 AS y", "column 'a' of the query at row 1 is no text in utf-8"),
        ("SELECT 9e999 AS a, 1.0 AS y UNION ALL SELECT 1.0, 2.0", "column 'a' holds an infinity in row 1"),
        ("SELECT 1.0 AS a, NULL AS y UNION ALL SELECT 2.0, 'a'", "target 'y' is NULL or empty in 1 rows"),
    ],
)
def test_odd_queries(shop, sql, message):
    with pytest.raises(ValueError, match=message):
        fitted(SQLDataset(sql, shop, target="y", prepare="auto"))


def test_text_that_comes_late_in_a_column_of_numbers(tmp_path):
    path = str(tmp_path / "late.db")
    with connect(path) as con:
        con.execute("CREATE TABLE t (a, y REAL)")
        con.executemany("INSERT INTO t VALUES (?, 1.0)", [*((float(i),) for i in range(12_000)), ("late",)])
    with pytest.raises(ValueError, match=r"column 'a' holds text \('late'\) in row 12001"):
        fitted(SQLDataset("SELECT * FROM t", path, target="y", prepare="auto"))


def test_numbers_that_come_after_many_nulls(tmp_path):
    path = str(tmp_path / "nulls.db")
    with connect(path) as con:
        con.execute("CREATE TABLE t (a, b, y REAL)")
        con.executemany(
            "INSERT INTO t VALUES (?, ?, 1.0)", ((float(i) if i > 15_000 else None, i) for i in range(20_000))
        )
    model = fitted(SQLDataset("SELECT * FROM t", path, target="y", prepare="auto"))
    assert re.match(r"numbers, 15001 to 19999, 75 % NULL", choices(model)["a"][0])


def test_a_model_that_has_its_inputs_already(shop):
    model = Sequential([Input((1,)), Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="has its inputs already, so the dataset's prepare= comes too late"):
        model.fit(dataset(shop, features=["km"]), verbose=0)


def test_a_failed_preparation_leaves_the_model_as_it_was(shop):
    model = Sequential([Dense(4), Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="is for dates"):
        model.fit(dataset(shop, features=["km"], prepare={"km": "date"}), verbose=0)
    assert [layer.units for layer in model.layers] == [4, 1]
    model.fit(dataset(shop, features=["km"]), verbose=0)
    assert model.layers[0].name == "preparation"


def test_hostile_names(tmp_path):
    path = str(tmp_path / "odd.db")
    names = ['a"b', "select", "ä/ö", "x_scaler", "x", "city_lookup", "city", " "]
    with connect(path) as con:
        columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
        con.execute(f"CREATE TABLE t ({columns}, y REAL)")
        values = ((i, i * 2.0, -i, i % 7, i % 5, "ab"[i % 2], "cd"[i % 2], i, 1.0) for i in range(40))
        con.executemany(f"INSERT INTO t VALUES ({', '.join('?' * 9)})", values)
    model = fitted(SQLDataset("SELECT * FROM t", path, target="y", prepare="auto"))
    assert sorted(choices(model)) == sorted(names)
    assert model.input_names == names
    assert model.predict_sql(f"SELECT rowid AS k, {columns} FROM t", path, into='g"g', key="k") == 40
