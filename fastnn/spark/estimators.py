"""``FastNNClassifier`` and ``FastNNRegressor``: estimators of Spark ML."""

from __future__ import annotations

from typing import Any, ClassVar

from fastnn import _names
from fastnn._checks import check_count, shown

try:
    from pyspark.ml import Estimator, Model
    from pyspark.ml.functions import array_to_vector
    from pyspark.ml.param import Param, Params, TypeConverters as To
    from pyspark.ml.param.shared import (
        HasFeaturesCol,
        HasLabelCol,
        HasPredictionCol,
        HasProbabilityCol,
        HasRawPredictionCol,
        HasSeed,
        HasWeightCol,
    )
    from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
    from pyspark.sql import functions as F
except ImportError as error:
    raise ImportError('fastnn.spark needs pyspark: pip install "fastnn[spark]"') from error

from .predicting import predict
from .training import MODES, Training, as_text, from_text, trained

__all__ = ["FastNNClassificationModel", "FastNNClassifier", "FastNNRegressionModel", "FastNNRegressor"]


def _network(value: Any) -> str:
    return value if isinstance(value, str) else as_text(value)


def _param(name: str, doc: str, converter: Any) -> Any:
    nobody = Params()
    nobody.uid = "undefined"  # until an object has it
    return Param(nobody, name, doc, converter)


class _Given(HasFeaturesCol, HasLabelCol, HasPredictionCol, HasWeightCol, HasSeed):  # type: ignore[misc]
    """The Params that estimators and their models have in common."""

    hiddenLayers = _param("hiddenLayers", "units of each hidden layer", To.toListInt)
    activation = _param("activation", "of the hidden layers", To.toString)
    optimizer = _param("optimizer", "by its name", To.toString)
    learningRate = _param("learningRate", "of the optimizer, above 0", To.toFloat)
    epochs = _param("epochs", "passes over the rows", To.toInt)
    batchSize = _param("batchSize", "rows of a step of each task", To.toInt)
    network = _param("network", "a compiled fastnn model in place of dense layers, kept as text", _network)
    numWorkers = _param("numWorkers", "tasks that train together", To.toInt)
    mode = _param("mode", f"how several tasks do so: {' or '.join(MODES)}", To.toString)
    # Of estimators; a model has those of its own.
    defaults: ClassVar[dict[str, Any]] = {
        "hiddenLayers": [100],
        "activation": "relu",
        "optimizer": "adam",
        "learningRate": 0.001,
        "epochs": 20,
        "batchSize": 32,
        "network": "",
        "numWorkers": 1,
        "mode": "average",
        "seed": 0,
    }

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self._setDefault(**self.defaults)
        self.setParams(**params)

    def setParams(self, **params: Any) -> Any:
        """Set Params by their names. TypeError for one that there is not, and for a value that it cannot have."""
        known = [param.name for param in self.params]
        for name in params:
            if name not in known:
                who = type(self).__name__
                raise TypeError(f"{who} has no Param {name!r}{_names.hint(name, known)}; it has {', '.join(known)}")
        return self._set(**params)

    def getNetwork(self) -> Any:
        """The fastnn model: of an estimator the one that was given, None where there is none."""
        text = self.getOrDefault("network")
        return from_text(text) if text else None


class _Fits(_Given, Estimator, DefaultParamsReadable, DefaultParamsWritable):  # type: ignore[misc]
    """An estimator; makes: the class of its models."""

    makes: ClassVar[Any]
    classifies: ClassVar[bool]

    def _fit(self, dataset: Any) -> Any:
        get, who = self.getOrDefault, type(self).__name__
        counts = [check_count(f"{who}: {name}", get(name)) for name in ("epochs", "batchSize", "numWorkers")]
        hidden = [check_count(f"{who}: hiddenLayers", units) for units in get("hiddenLayers")]
        if get("mode") not in MODES:
            raise ValueError(f"{who}: mode must be one of {', '.join(MODES)}, got {shown(get('mode'))}")
        plan = Training(
            self.classifies,
            get("network"),
            hidden,
            get("activation"),
            get("optimizer"),
            get("learningRate"),
            counts[0],
            counts[1],
            abs(get("seed")),
            counts[2],
            get("mode"),
        )
        weight = self.getWeightCol() if self.isDefined("weightCol") else ""
        model = self._copyValues(self.makes())
        network = trained(dataset, self.getFeaturesCol(), self.getLabelCol(), weight, plan)
        return model.set(model.network, network) or model


class _Fitted(_Given, Model, DefaultParamsReadable, DefaultParamsWritable):  # type: ignore[misc]
    """What an estimator's fit gives; ``getNetwork()`` is the fastnn model."""

    def _outputs(self, dataset: Any) -> tuple[Any, str]:
        """The data frame with what the network gives, as "values", and the column that has it."""
        name = f"{self.uid} output"
        network = self.getNetwork()
        if network is None:
            raise RuntimeError(f"{type(self).__name__} has no network; fit its estimator, or load it")
        return predict(dataset, network, features=self.getFeaturesCol(), output=name, kind="values"), name


class FastNNClassificationModel(_Fitted, HasProbabilityCol, HasRawPredictionCol):  # type: ignore[misc]
    """The classifier that ``FastNNClassifier.fit`` gives: a Transformer.

    transform adds the Params' columns: prediction, the number of the class as a double; probability, a vector; and
    rawPrediction, the vector of their logarithms. One whose name is "" is left out.
    """

    def _transform(self, dataset: Any) -> Any:
        found, name = self._outputs(dataset)
        given = F.col(f"`{name}`")
        if found.schema[name].dataType.typeName() != "array":  # one sigmoid
            given = F.array(1 - given, given)
        added = {
            self.getRawPredictionCol(): array_to_vector(
                F.transform(given, lambda each: F.log(F.greatest(each.cast("double"), F.lit(1e-30))))
            ),
            self.getProbabilityCol(): array_to_vector(given.cast("array<double>")),
            self.getPredictionCol(): (F.array_position(given, F.array_max(given)) - 1).cast("double"),
        }
        return found.withColumns({column: each for column, each in added.items() if column}).drop(name)


class FastNNRegressionModel(_Fitted):
    """The regressor that ``FastNNRegressor.fit`` gives: a Transformer; transform adds predictionCol, a double."""

    def _transform(self, dataset: Any) -> Any:
        found, name = self._outputs(dataset)
        return found.withColumn(self.getPredictionCol(), F.col(f"`{name}`").cast("double")).drop(name)


class FastNNClassifier(_Fits, HasProbabilityCol, HasRawPredictionCol):  # type: ignore[misc]
    """A classifier of Spark ML, which stands in pipelines and CrossValidator, and is saved and loaded as others are.

        FastNNClassifier(featuresCol="features", labelCol="label", hiddenLayers=[64], epochs=10, numWorkers=4)

    Params: featuresCol, a vector or an array of numbers; labelCol, the number of a class from 0; weightCol;
    predictionCol, probabilityCol, rawPredictionCol; hiddenLayers [100], activation "relu", optimizer "adam",
    learningRate 0.001, epochs 20, batchSize 32, seed 0; network, a compiled model in place of these layers and their
    optimizer, which ends in softmax or one sigmoid. Features should be scaled, by a StandardScaler say.

    numWorkers: so many tasks, which the cluster must have room for at once, hold the rows in memory and train together
    in a barrier stage. mode "average": each on its own rows, and after each epoch the mean of all weights, by way of
    the driver; "exact": every step is that of one process with all rows, whose weights come out to the bit; each task
    holds all rows, and torch is needed on the executors, whose gloo carries the arrays.

    fit raises TypeError, ValueError for Params that cannot be, and for rows that cannot be learnt.
    """

    makes, classifies = FastNNClassificationModel, True


class FastNNRegressor(_Fits):
    """A regressor of Spark ML: Params and the rest as ``FastNNClassifier`` has them, without its columns of classes.

    labelCol: a number; network: one that gives one number a row. The loss is the mean squared error.
    """

    makes, classifies = FastNNRegressionModel, False


def _setter(name: str) -> Any:
    def set_to(self: Any, value: Any) -> Any:
        return self.setParams(**{name: value})

    set_to.__doc__ = f"Set the Param {name}."
    return set_to


for _cls in (FastNNClassificationModel, FastNNClassifier, FastNNRegressionModel, FastNNRegressor):
    for _name in dir(_cls):
        if isinstance(getattr(_cls, _name), Param):
            setattr(_cls, f"set{_name[0].upper()}{_name[1:]}", _setter(_name))


_names.offer(globals())
