"""What Keras's programs ask of a model beside fit, evaluate and predict, and what comes of predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastnn._checks import as_flag, check_count, shown
from fastnn._output import warn
from fastnn.config import check_precision, loadable
from fastnn.layers.surface import penalties_of
from fastnn.models.built import Built
from fastnn.models.description import untrainable
from fastnn.serialization import deserialize_keras_object, serialize_keras_object

if TYPE_CHECKING:
    from fastnn.data.arrays import ArraySource

COMPILED = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics")
IGNORED = ("run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")


class Surface(Built):
    """A model's attributes and methods of Keras that other methods of it make."""

    predict: Any
    compile: Any
    history: Any
    if TYPE_CHECKING:  # what a model knows of its rows

        def _source(self, x: Any, y: Any, sample_weight: Any) -> Any: ...

        def _only(self, x: Any) -> Any: ...

        def _targets(self, x: Any, y: Any) -> Any: ...

        def _sides(self) -> Any: ...

    @property
    def compiled(self) -> bool:
        """Whether ``compile`` was called."""
        return self.description.trainer is not None

    def predict_function(self) -> Callable[..., Any]:
        """A function (x, out=None) that gives what `predict` gives, with the least around it: for a row at a time.

        x: a C-contiguous float32 array, (rows, ...); out: such an array for the output, (rows, ...), else a new one is
        made. Looked at are their types and shapes, nothing else: x is not converted, has no column names, and no
        batches, bar or callbacks; NaN goes through. It follows the weights as they change, and takes turns with other
        threads. ValueError where the model has several inputs or outputs, or layers of
        columns, and at a call for other arrays; RuntimeError before the model is built, and at a call once the model
        has other layers.

            predict = model.predict_function()
            y = predict(x)
        """
        description = self.description
        if description.network is None:
            raise RuntimeError("the model is not built yet; call fit, or build with the shape of its inputs")
        if description.only_rows is None:
            raise ValueError("predict_function is for a model of one input and one output; call predict")
        takes, gives = description.only_rows
        return description.network.predictor(None if len(takes) == 1 else takes, gives)  # type: ignore[no-any-return]

    @property
    def metrics(self) -> list[Any]:
        """The mean of the loss, then the metrics that ``compile`` was given, once the model is built; none before."""
        trainer = self.description.trainer
        if trainer is None or not self.built:
            return []
        from fastnn.metrics import Mean  # metrics are imported when they are asked for

        loss, logs = Mean("loss"), self.get_metrics_result()
        if "loss" in logs:
            loss.update_state(logs["loss"])
        return [loss, *trainer.compiled_objectives().metrics]

    @property
    def metrics_names(self) -> list[str]:
        """What ``evaluate`` gives, by its names: "loss", then those of the metrics; none before ``compile``."""
        trainer = self.description.trainer
        if trainer is None:
            return []
        objectives = trainer.compiled_objectives() if self.built else None
        return ["loss"] if objectives is None else ["loss", *objectives.names, *objectives.losses]

    @property
    def losses(self) -> list[Any]:
        """What layers added to the loss when the model was last called on rows, then the penalties on the weights now.

        Each is a number; the latter are as they are now.
        """
        penalties = [value for layer in self.description.layers() for value in penalties_of(layer)]
        return [*vars(self).get("_added", ()), *penalties]

    def get_metrics_result(self) -> dict[str, Any]:
        """The last logs of loss and metrics: those of ``fit``'s last epoch, or of an ``evaluate`` since."""
        history = getattr(self.history, "history", None)
        if self.description.last_logs or history is None:
            return dict(self.description.last_logs)
        return {
            name: values[-1]
            for name, values in history.items()
            if values and not name.startswith("val_") and name not in ("learning_rate", "seconds")
        }

    def reset_metrics(self) -> None:
        """Forget what ``get_metrics_result`` gives; each epoch and each evaluation begins anew as it is."""
        self.description.last_logs, self.history = {}, None

    # What compile was given.

    def get_compile_config(self) -> dict[str, Any] | None:
        """What ``compile`` was given, as JSON; None before. ``compile_from_config`` takes it."""
        if not self.compiled:
            return None
        steps = self.description.steps_per_execution
        given = dict(zip(COMPILED, self.description.compiled_with, strict=True))
        described: dict[str, Any] = {name: serialize_keras_object(value) for name, value in given.items()}
        if self.description.matmul_precision is not None:
            described["matmul_precision"] = self.description.matmul_precision
        return {**described, "run_eagerly": False, "steps_per_execution": steps, "jit_compile": True}

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile as ``get_compile_config`` says. TypeError, ValueError where it says no such thing."""
        if not isinstance(config, Mapping):
            raise TypeError(f"compile_from_config: expected what get_compile_config gives, got {shown(config)}")
        known = {name: value for name, value in config.items() if name in (*COMPILED, *IGNORED, "matmul_precision")}
        precision = loadable(known.pop("matmul_precision", None))
        given = {name: deserialize_keras_object(value) for name, value in known.items()}
        self.compile(**given, matmul_precision=precision)

    # Predicting.

    def compute_output_shape(self, input_shape: Any = None) -> Any:
        """The shape of what the model gives for inputs of this shape, the rows' axis first."""
        if self.description.graph is None and input_shape is not None:
            self._take_rows(tuple(input_shape)[1:])
        self._built("compute_output_shape")
        first = next(iter(input_shape), None) if isinstance(input_shape, (tuple, list)) else None
        batch = first if first is None or isinstance(first, int) else None
        return self.description.gives.pack([(batch, *tensor.row) for tensor in self._drawn().outputs])

    def predict_in_training(self, x: Any, number: int = 0) -> Any:
        """What the layers give in training for these rows as one batch: see ``__call__``.

        number: which of the random numbers, others in each call where it is 0.
        """
        check_count("number", number, 0, 2**64 - 1)
        network = self.description.network or self._built_by("the call", x)
        source, description = self._batch(x, None, None), self.description
        description.check_source(source, "x")
        # Of a compiled model it is as it was then.
        frozen = untrainable(description.layers()) if description.trainer is None else description.frozen
        network.freeze(description.frozen_ops(frozen))
        if not self._adds_losses():
            return self._split(network.predict_in_training(source.x, number))
        if not number:
            vars(self)["_draws"] = number = vars(self).get("_draws", 0) + 1
        return self._split(self._noting_losses(source, number))

    def _adds_losses(self) -> bool:
        """Whether a layer's ``add_loss``, or a penalty on what it gives, is part of the loss."""
        return self.description.plan is not None and bool(self.description.plan.added)

    def _noting_losses(self, source: Any, number: int | None) -> Any:
        """The outputs for rows, side by side; what layers add to the loss is noted, for `losses`."""
        from fastnn.models.networks import with_losses

        outputs, vars(self)["_added"] = with_losses(self.description, source.x, number)
        return outputs

    def _called(self, x: Any) -> Any:
        """What the model gives for arrays."""
        plan = self.description.plan
        if plan is None or not plan.added:
            found = self.predict(x)
            if plan is not None or not self._adds_losses():  # of a model that was not built before
                return found
        source = self._batch(x, None, None)
        self.description.check_source(source, "x")
        return self._split(self._noting_losses(source, None))

    def _predicted(
        self, x: Any, made: Any = None, *, batch_size: Any, verbose: Any, steps: Any, callbacks: Any = None
    ) -> Any:
        """`predict` batch by batch. made: gives another network to call, for the rows of a source."""
        from fastnn.training.loop import predict

        network = self.description.network or self._built_by("predict", x)
        source = self._source(x, None, None)
        self.description.check_source(source, "x")
        network = network if made is None else made(network, source)
        return self._split(predict(self, network, source, batch_size or 32, verbose, steps, callbacks))

    def _split(self, out: Any) -> Any:
        """The network's outputs, side by side in each row, as the model gives them."""
        rows = [tensor.row for tensor in self._drawn().outputs]
        if len(rows) == 1:
            return self.description.gives.pack([out.reshape(len(out), *rows[0])])
        ends = np.cumsum([prod(row) for row in rows])
        parts = map(np.ascontiguousarray, np.split(out, ends[:-1], axis=1))
        return self.description.gives.pack(
            [part.reshape(len(out), *row) for part, row in zip(parts, rows, strict=True)]
        )

    def _batch(self, x: Any, y: Any, sample_weight: Any) -> ArraySource:
        from fastnn.data.batches import batch_of

        return batch_of(self._only(x), self._targets(x, y), sample_weight, *self._sides())

    def predict_on_batch(self, x: Any) -> Any:
        """The output for each row of a batch, as ``predict`` gives it."""
        return self.predict(x)

    def predict_sql(
        self,
        sql: Any,
        con: Any,
        *,
        into: str,
        key: str,
        params: Any = None,
        null: float | None = None,
        sequence: Any = None,
        kind: Literal["classes", "binary", "values"] | None = None,
        mode: Literal["create", "replace", "upsert"] = "create",
        to: Any = None,
        version: str | int | None = None,
    ) -> int:
        """Predict the rows of a query and write them into the table `into`; gives how many.

        The query returns the column `key` and the features, by the names and in the order of those that the model was
        fitted on, where these had names. The table has key, prediction and probability; kind is "classes" for several
        outputs, "binary" for one sigmoid output and "values" otherwise. With "values", several units are
        prediction_0, prediction_1 and so on, those of a model of several outputs prediction_<output>. Each row says
        which model it is from, in model and model_version, and when, in predicted_at. version: by default that of a
        registry that the model was loaded from and has not changed since, under its name there.

        con, params, null: as in SQLDataset; or sql and con are filter and collection of MongoDB. sequence: as there, by
        default as in the dataset that the model was fitted on; a row is predicted from its window. mode: "replace"
        where an earlier run has written the table, "upsert" to add to it. to: another database to write to. A run that
        is ended is gone on with by the next one of the same model. See ``fastnn.data.write_predictions``.
        """
        from fastnn.data.predictions import write_predictions
        from fastnn.models.by_rows import by_rows, origin_of

        self._built("predict_sql")
        rows, origin = by_rows(self, "predict_sql", kind), origin_of(self, version)
        return write_predictions(
            rows.predict,
            sql,
            con,
            into=into,
            key=key,
            params=params,
            null=null,
            sequence=rows.sequence if sequence is None else sequence,
            kind=rows.kind,  # type: ignore[arg-type]
            mode=mode,
            to=to,
            model=origin.name,
            version=origin.version,
            names=rows.names,
            inputs=rows.inputs,
            outputs=rows.outputs,
            columns=rows.columns,
            identity=origin.identity,
        )

    def predict_iter(
        self,
        sql: Any,
        con: Any,
        *,
        key: str | None = None,
        params: Any = None,
        null: float | None = None,
        sequence: Any = None,
        batch_size: int = 8192,
    ) -> Iterator[Any]:
        """The outputs for the rows of a query, (rows, units), batch by batch.

        key: a column that is no feature; then (keys, outputs), with keys as a list. The other columns, con, params,
        null and sequence are as in `predict_sql`. The query runs until the last batch, or until the iterator is closed.
        """
        from fastnn.data.predictions import predict_rows
        from fastnn.models.by_rows import by_rows

        self._built("predict_iter")
        rows = by_rows(self, "predict_iter", "values")
        about = {"names": rows.names, "inputs": rows.inputs, "columns": rows.columns}
        about["sequence"] = rows.sequence if sequence is None else sequence
        return predict_rows(rows.predict, sql, con, key, params, null, batch_size, **about)

    def register_sqlite(
        self,
        con: Any,
        name: str = "predict",
        *,
        kind: Literal["classes", "binary", "values"] | None = None,
        output: Literal["prediction", "probability"] = "prediction",
    ) -> None:
        """Make the model a function of SQL on an open connection: SELECT id, predict(a, b, c) FROM t.

        name: of the function; one of the same name and number of arguments is replaced. The arguments are the model's
        inputs in their order, numbers, or of a model with a front what its inputs take, texts too. What it gives is
        what `predict_sql` writes: `output`, with `kind` as there; values of one unit alone. NULL where an argument is
        NULL. Another number of arguments is SQLite's own error, and so is a text where a number is expected, a number
        beyond float32's range and an output that is not finite, or for a probability outside 0 .. 1.

        Where Python's sqlite3 can load extensions, SQLite calls it without Python's objects, and its errors say what
        is wrong; elsewhere, and for a model with a front, by create_function, whose errors say only that there was
        one. What the model learns later counts. Many rows are faster by `predict_sql` and `predict_iter`.

        Raises TypeError where `con` is no open sqlite3.Connection, ValueError for a model of several outputs, and for
        what SQLite refuses: more arguments than it takes, 127 as a rule.
        """
        from fastnn.data.sql_function import register
        from fastnn.models.by_rows import by_rows

        network = self._built("register_sqlite")
        rows = by_rows(self, "register_sqlite", kind)
        register(con, name, network, rows.kind, output, rows.inputs)

    def register_duckdb(
        self,
        con: Any,
        name: str = "predict",
        *,
        kind: Literal["classes", "binary", "values"] | None = None,
        output: Literal["prediction", "probability"] = "prediction",
    ) -> None:
        """Make the model a function of SQL on an open connection to DuckDB, as `register_sqlite` does.

        With pyarrow, and without a front, by vectors of some thousand rows; else row by row. TypeError, ValueError.
        """
        from fastnn.data.sql_function import register_duckdb
        from fastnn.models.by_rows import by_rows

        network = self._built("register_duckdb")
        rows = by_rows(self, "register_duckdb", kind)
        register_duckdb(con, name, network, rows.kind, output, rows.inputs)

    def export(self, filepath: Any, format: str = "onnx", **options: Any) -> Any:
        """Write the model in a form that runs without fastnn.

        format: "onnx" (extra ``fastnn[onnx]``), "c" (one C99 file and its header) or "sql" (an expression or a view
        for a database). options: of ``fastnn.exchange.to_onnx``, ``to_c`` and ``to_sql``.

        ValueError for another format, and where the model has a layer that the format cannot say; RuntimeError before
        the model is built.
        """
        from fastnn.store import formats

        self._built("export")
        return formats.export(self, filepath, format, options)


def checked_steps(
    run_eagerly: Any, steps_per_execution: Any, jit_compile: Any, auto_scale_loss: Any, matmul_precision: Any
) -> int:
    """How many batches lie between two hooks of batches; the arguments beside it ask for nothing, and are checked."""
    if matmul_precision is not None:
        check_precision("compile: matmul_precision", matmul_precision)
    if as_flag("run_eagerly", run_eagerly):
        warn(
            "run_eagerly=True changes nothing: the numbers are the same, but each epoch is one compiled call, and call "
            "is run once, on symbolic tensors; to look into batches use a callback with on_train_batch_end, or "
            "train_on_batch"
        )
    steps = 1
    if steps_per_execution is not None and not (isinstance(steps_per_execution, str) and steps_per_execution == "auto"):
        steps = check_count("steps_per_execution", steps_per_execution)
    if not isinstance(jit_compile, str) or jit_compile != "auto":
        as_flag("jit_compile", jit_compile)
    as_flag("auto_scale_loss", auto_scale_loss)
    return steps


def listed(logs: dict[str, Any]) -> Any:
    """Logs as Keras gives them: the loss alone, or [loss, metric, ...]."""
    loss = logs.pop("loss")
    return [loss, *logs.values()] if logs else loss


def is_nothing(share: Any) -> bool:
    """Whether a validation_split asks for none; what is no number is left to `split`, which says so."""
    return share is None or (isinstance(share, Real) and not share)
