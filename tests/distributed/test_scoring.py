"""evaluate and predict by several ranks give each of them what they give on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastnn import losses
from fastnn.callbacks import Callback
from fastnn.data import SQLDataset
from fastnn.distributed import LocalCommunicator
from fastnn.layers import LSTM, BatchNormalization, Dense, Dropout, Embedding, Flatten, Input
from fastnn.models import Model, Sequential
from support.database import connect
from support.ranks import numbers, run, same

ROWS = 1003
X, Y = numbers(0, ROWS, 5), numbers(1, ROWS, 2)


def model_of(loss: Any = "mse", metrics: Any = ("mae",), seed: int = 0) -> Model:
    model = Sequential([Input((5,)), Dense(20, "tanh"), Dropout(0.3), BatchNormalization(), Dense(2, "sigmoid")])
    model.compile("adam", loss, metrics=list(metrics))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.random(weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_predict(size: int) -> None:
    expected = model_of().predict(X).tobytes()
    assert same(size, lambda c: model_of().predict(X, distribute=c).tobytes()) == expected
    assert (
        same(size, lambda c: model_of().predict(X[:2], distribute=c).tobytes()) == model_of().predict(X[:2]).tobytes()
    )
    more = {"batch_size": 10, "steps": 3}
    few = same(size, lambda c: model_of().predict(X, distribute=c, **more).tobytes())
    assert few == model_of().predict(X[:30]).tobytes()


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("loss", ["mse", losses.Dice(), losses.MeanSquaredError(reduction="sum")], ids=str)
def test_evaluate(size: int, loss: Any) -> None:
    weight = np.random.default_rng(2).random(ROWS)
    how = {"sample_weight": weight, "verbose": 0, "return_dict": True, "batch_size": 100}
    y = (Y > 0).astype("f4")
    expected = model_of(loss, ["mae", "auc"]).evaluate(X, y, **how)
    assert same(size, lambda c: model_of(loss, ["mae", "auc"]).evaluate(X, y, distribute=c, **how)) == expected
    assert same(size, lambda c: model_of(loss).evaluate(X, y, verbose=0, steps=2, distribute=c)) == model_of(
        loss
    ).evaluate(X, y, verbose=0, steps=2)


def test_rows_are_shared_out() -> None:
    """Each rank's outputs are of some of the rows, and nobody gives another anything else."""

    def work(communicator: Any) -> Any:
        model_of().predict(X, distribute=communicator)
        return [own for own, _ in communicator.calls][-3:]

    sent = [max(own) for own in run(3, work)]
    assert sum(sent) == 4 * 2 * ROWS
    assert max(sent) - min(sent) <= 8


def test_rank_0_counts() -> None:
    expected = model_of(seed=0)

    def work(communicator: Any) -> Any:
        model = model_of(seed=communicator.rank)
        model.predict(X)  # whose weights others take the place of
        outputs = model.predict(X if communicator.rank == 0 else None, distribute=communicator)
        more = model_of(seed=communicator.rank).evaluate(
            *((X, Y) if communicator.rank == 0 else (None, None)), verbose=0, distribute=communicator
        )
        return outputs.tobytes(), more

    assert same(3, work) == (expected.predict(X).tobytes(), expected.evaluate(X, Y, verbose=0))


def test_several_inputs_and_outputs_and_an_uncompiled_model() -> None:
    def make() -> Model:
        a, b = Input((3,), name="a"), Input((4,), name="b")
        h = Dense(5, kernel_initializer="ones")(a)
        return Model(
            [a, b], {"one": Dense(2, kernel_initializer="ones")(h), "two": Dense(1, bias_initializer="ones")(b)}
        )

    x = [numbers(0, 106, 3), numbers(1, 106, 4)]
    weights = make().get_weights()

    def predicted(communicator: Any) -> Any:
        model = make()
        model.set_weights(weights)
        return {name: out.tobytes() for name, out in model.predict(x, distribute=communicator).items()}

    assert same(2, predicted) == predicted(None)


@pytest.mark.parametrize("kind", ["states", "python", "noise"])
def test_rows_that_may_look_at_others_stay_together(kind: str) -> None:
    def make() -> Any:
        if kind == "states":
            return Sequential(
                [Input(batch_shape=(4, 3, 5)), LSTM(6, stateful=True, kernel_initializer="ones"), Dense(1)]
            )
        if kind == "python":
            from fastnn.layers import Lambda

            return Sequential([Input((5,)), Lambda(lambda x: x - np.mean(np.asarray(x), 0))])
        x = Input((5,))
        return Model(x, Dropout(0.5, seed=3)(x, training=True))

    x = numbers(0, 12, 3, 5) if kind == "states" else numbers(0, 12, 5)
    model = make()
    weights = model.get_weights()

    def predicted(communicator: Any) -> Any:
        model = make()
        model.set_weights(weights)
        return model.predict(x, distribute=communicator).tobytes()

    found = same(3, predicted)
    if kind != "noise":
        assert found == predicted(None)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with connect(path) as database:
        database.execute("CREATE TABLE t (a, b, y)")
        database.executemany("INSERT INTO t VALUES (?, ?, ?)", numbers(0, 9000, 3).tolist())
        database.commit()
    return path


def test_a_query(shop: Path) -> None:
    def make() -> Model:
        model = Sequential([Input((2,)), Dense(1, kernel_initializer="ones")])
        model.compile("sgd", "mse")
        return model

    def work(communicator: Any) -> Any:
        dataset = SQLDataset("SELECT a, b, y FROM t", shop, target="y", cache=False)
        evaluated = make().evaluate(dataset, verbose=0, distribute=communicator)
        dataset = SQLDataset("SELECT a, b FROM t", shop, cache=False)
        return evaluated, make().predict(dataset, distribute=communicator).tobytes()

    assert same(3, work) == work(None)
    with connect(shop) as database:
        database.execute("UPDATE t SET b = 'x' WHERE rowid = 8000")
        database.commit()
    for each in run(2, work):
        with pytest.raises(ValueError, match=r"column 'b' holds text \('x'\) in row 8000"):
            raise each


# Errors.


def test_a_row_that_cannot_be() -> None:
    def make() -> Model:
        return Sequential([Input((3,)), Embedding(10, 4), Flatten(), Dense(2)])

    ids = np.ones((106, 3), int)
    ids[95, 1] = 10
    for each in run(3, lambda c: make().predict(ids, distribute=c)):
        with pytest.raises(ValueError, match="from 0 to 9, got 10 in column 1 of row 95"):
            raise each


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda c: model_of().predict(X + c.rank, distribute=c), "the data of rank 1 is not that of rank 0"),
        (lambda c: model_of().predict(X, batch_size=8 + c.rank, distribute=c), "the batch_size of rank 1"),
        (lambda c: model_of().evaluate(X + c.rank, Y, distribute=c), "the data of rank 1 is not that of rank 0"),
        (lambda c: model_of().evaluate(X, Y, steps=1 + c.rank, distribute=c), "the steps of rank 1"),
        (lambda c: model_of().predict(X[:, : 5 - c.rank], distribute=c), "features"),
        (lambda c: model_of().predict(X, callbacks=[Callback()], distribute=c), "runs no callbacks"),
        (lambda c: model_of().evaluate(X, Y, by=Y[:, 0] > 0, distribute=c), "leave out by or distribute"),
    ],
)
def test_errors_are_everyones(call: Any, match: str) -> None:
    for each in run(2, call):
        with pytest.raises(ValueError, match=match):
            raise each


def test_what_is_no_communicator() -> None:
    for call in (lambda: model_of().predict(X, distribute=3), lambda: model_of().evaluate(X, Y, distribute=3)):
        with pytest.raises(TypeError, match="distribute must be a communicator"):
            call()
    assert model_of().predict(X, distribute=LocalCommunicator(), callbacks=[Callback()]).shape == (ROWS, 2)


def test_callbacks_of_an_evaluation_run_on_rank_0() -> None:
    seen: list[int] = []

    class Stops(Callback):
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(batch)
            self.model.stop_evaluating = batch == 1

    def evaluated(communicator: Any) -> Any:
        return model_of().evaluate(X, Y, verbose=0, callbacks=[Stops()], distribute=communicator)

    expected = evaluated(None)
    seen.clear()
    assert same(3, evaluated) == expected
    assert seen == [0, 1]


def test_a_callback_of_a_fit_is_alone() -> None:
    def work(communicator: Any) -> Any:
        class Asks(Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                self.model.predict(X, distribute=communicator)

        return model_of().fit(X, Y, verbose=0, callbacks=[Asks()], distribute=communicator)

    for each in run(2, work):
        with pytest.raises(RuntimeError, match="callbacks of a fit with distribute run on rank 0 alone"):
            raise each
