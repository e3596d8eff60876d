"""``FastNNClassifier`` and ``FastNNRegressor`` as Spark ML uses its estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import Sequential
from fastnn.distributed import LocalSGD
from fastnn.layers import Dense, Input
from support.ranks import run as in_threads

pytest.importorskip("pyspark")
pytest.importorskip("pyarrow")
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import (
    BinaryClassificationEvaluator,
    MulticlassClassificationEvaluator,
    RegressionEvaluator,
)
from pyspark.ml.feature import StandardScaler, StringIndexer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel, ParamGridBuilder

from fastnn.spark import (
    FastNNClassificationModel,
    FastNNClassifier,
    FastNNRegressionModel,
    FastNNRegressor,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 2)).astype(np.float32)
LABELS = (X[:, 0] * X[:, 1] > 0).astype(float)


def frame(spark: Any, labels: Any = LABELS) -> Any:
    rows = [(float(a), float(b), float(y), ["no", "yes"][int(y > 0)]) for (a, b), y in zip(X, labels, strict=True)]
    df = spark.createDataFrame(rows, "a float, b float, label double, word string")
    return VectorAssembler(inputCols=["a", "b"], outputCol="features").transform(df)


def given(df: Any) -> Any:
    return df.select(vector_to_array("features", "float32").alias("x"), df.label.cast("double").alias("y"))


def classifier(**params: Any) -> Any:
    return FastNNClassifier(**{"hiddenLayers": [16], "learningRate": 0.02, "epochs": 30, "seed": 3, **params})


def test_a_classifier(spark: Any) -> None:
    df = frame(spark)
    model = classifier().fit(df)
    found = model.transform(df)
    assert found.columns == [*df.columns, "rawPrediction", "probability", "prediction"]
    assert MulticlassClassificationEvaluator(metricName="accuracy").evaluate(found) > 0.9
    assert BinaryClassificationEvaluator().evaluate(found) > 0.95
    rows = found.collect()
    expected = model.getNetwork().predict(np.array([row.features.toArray() for row in rows]))
    assert np.allclose([row.probability.toArray() for row in rows], expected, atol=1e-6)
    assert [row.prediction for row in rows] == expected.argmax(axis=1).tolist()
    assert np.allclose([row.rawPrediction.toArray() for row in rows], np.log(expected), atol=1e-5)


def test_the_fit_is_fits(spark: Any) -> None:
    """One task: the network of Model.fit on the same rows in the same order, to the bit."""
    df = frame(spark).coalesce(1)
    with fastnn.random.seeded(3):
        alone = Sequential([Input((2,)), Dense(16, "relu"), Dense(2, "softmax")])
        alone.compile(fastnn.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
        alone.fit(X, LABELS.astype(int), epochs=5, verbose=0)
    network = classifier(epochs=5).fit(df).getNetwork()
    for mine, other in zip(network.get_weights(), alone.get_weights(), strict=True):
        assert mine.tobytes() == other.tobytes()


def test_a_regressor_with_weights(spark: Any) -> None:
    df = frame(spark, 3 * X[:, 0] - X[:, 1])
    model = FastNNRegressor(hiddenLayers=[], learningRate=0.05, epochs=60).fit(df)
    found = model.transform(df)
    assert RegressionEvaluator(metricName="r2").evaluate(found) > 0.99
    assert dict(found.dtypes)["prediction"] == "double"
    weighted = df.selectExpr("*", "double(a > 0) as w")
    only = FastNNRegressor(hiddenLayers=[], epochs=3, weightCol="w").fit(weighted)
    fewer = FastNNRegressor(hiddenLayers=[], epochs=3).fit(weighted)
    assert only.getNetwork().get_weights()[0].tobytes() != fewer.getNetwork().get_weights()[0].tobytes()


def test_a_network_of_ones_own(spark: Any) -> None:
    network = Sequential([Input((2,)), Dense(12, "tanh"), Dense(1, "sigmoid")])
    network.compile(fastnn.optimizers.Adam(0.05), "binary_crossentropy")
    df = frame(spark)
    model = FastNNClassifier(network=network, epochs=40).fit(df)
    found = model.transform(df)
    assert MulticlassClassificationEvaluator(metricName="accuracy").evaluate(found) > 0.9
    row = found.first()
    assert row.probability.toArray().sum() == pytest.approx(1)


def test_in_a_pipeline_that_is_saved(spark: Any, tmp_path: Path) -> None:
    df = frame(spark).drop("features", "label")
    stages = [
        StringIndexer(inputCol="word", outputCol="label", stringOrderType="alphabetAsc"),
        VectorAssembler(inputCols=["a", "b"], outputCol="raw"),
        StandardScaler(inputCol="raw", outputCol="features", withMean=True),
        classifier(),
    ]
    pipeline = Pipeline(stages=stages)
    pipeline.write().overwrite().save(str(tmp_path / "pipeline"))
    model = Pipeline.load(str(tmp_path / "pipeline")).fit(df)
    model.save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))
    before, after = (m.transform(df).select("probability", "prediction").collect() for m in (model, loaded))
    assert before == after
    assert MulticlassClassificationEvaluator(metricName="accuracy").evaluate(loaded.transform(df)) > 0.9


def test_saved_alone(spark: Any, tmp_path: Path) -> None:
    network = Sequential([Input((2,)), Dense(1)])
    network.compile("sgd", "mse")
    est = FastNNRegressor(network=network, labelCol="label", epochs=2, predictionCol="p")
    est.save(str(tmp_path / "est"))
    loaded = FastNNRegressor.load(str(tmp_path / "est"))
    assert loaded.getOrDefault("epochs") == 2
    assert loaded.getPredictionCol() == "p"
    assert loaded.getNetwork().count_params() == 3
    df = frame(spark)
    fitted = loaded.fit(df)
    assert isinstance(fitted, FastNNRegressionModel)
    fitted.save(str(tmp_path / "fitted"))
    again = FastNNRegressionModel.load(str(tmp_path / "fitted"))
    assert again.transform(df).collect() == fitted.transform(df).collect()
    copied = est.copy({est.epochs: 5})
    assert copied.getOrDefault("epochs") == 5
    assert est.getOrDefault("epochs") == 2


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its pool
def test_in_a_cross_validator(spark: Any, tmp_path: Path) -> None:
    est, df = classifier(), frame(spark)
    grid = ParamGridBuilder().addGrid(est.epochs, [1, 25]).build()
    cv = CrossValidator(
        estimator=est,
        estimatorParamMaps=grid,
        evaluator=MulticlassClassificationEvaluator(metricName="accuracy"),
        numFolds=2,
        seed=1,
    )
    found = cv.fit(df)
    assert found.avgMetrics[1] > found.avgMetrics[0]
    assert isinstance(found.bestModel, FastNNClassificationModel)
    found.save(str(tmp_path / "cv"))
    loaded = CrossValidatorModel.load(str(tmp_path / "cv"))
    assert loaded.transform(df).select("prediction").collect() == found.transform(df).select("prediction").collect()


def test_two_tasks_average_each_epoch(spark: Any) -> None:
    """The same as LocalSGD on the rows of each partition."""
    df = frame(spark)
    est = classifier(numWorkers=2, epochs=4)
    network = est.fit(df).getNetwork()
    parts = given(df).repartition(2).rdd.glom().collect()  # as in the fit: Spark deals rows out by what is in them

    def work(comm: Any) -> Any:
        x, y = (np.array(column) for column in zip(*parts[comm.rank], strict=True))
        with fastnn.random.seeded(3):
            model = Sequential([Input((2,)), Dense(16, "relu"), Dense(2, "softmax")])
            model.compile(fastnn.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
            model.fit(x.astype(np.float32), y.astype(int), epochs=4, verbose=0, callbacks=[LocalSGD(comm)])
        return model

    expected = in_threads(2, work)[0]
    assert min(map(len, parts)) > 100
    for mine, other in zip(network.get_weights(), expected.get_weights(), strict=True):
        assert np.allclose(mine, other, rtol=1e-4, atol=1e-5)
    again = est.fit(df).getNetwork()
    assert [w.tobytes() for w in again.get_weights()] == [w.tobytes() for w in network.get_weights()]


def test_params(spark: Any) -> None:
    est = FastNNClassifier().setEpochs(3).setFeaturesCol("f")
    assert est.getOrDefault("epochs") == 3
    assert est.getFeaturesCol() == "f"
    assert "learningRate: of the optimizer" in est.explainParams()
    with pytest.raises(TypeError, match=r"no Param 'epoch'.*epochs"):
        FastNNClassifier(epoch=3)
    with pytest.raises(TypeError):
        FastNNClassifier(epochs="many")
    df = frame(spark)
    for params, says in (
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"mode": "fast"}, "mode must be one of average, exact"),
        ({"hiddenLayers": [0]}, "hiddenLayers must be at least 1"),
        ({"numWorkers": 0}, "numWorkers must be at least 1"),
    ):
        with pytest.raises(ValueError, match=says):
            FastNNClassifier(**params).fit(df)
    with pytest.raises(RuntimeError, match="has no network"):
        FastNNClassificationModel().transform(df)


def test_rows_that_cannot_be_learnt(spark: Any) -> None:
    for labels, says in (([0.5] * 300, "labels must be the numbers of classes"), ([-1.0] * 300, "from 0, got -1")):
        with pytest.raises(ValueError, match=says):
            classifier(epochs=1).fit(frame(spark, labels))
    df = frame(spark)
    with pytest.raises(ValueError, match="has no rows; set numWorkers to fewer"):
        classifier(numWorkers=2).fit(df.limit(1))
    network = Sequential([Input((2,)), Dense(1)])
    network.compile("sgd", "mse")
    with pytest.raises(ValueError, match="network must end in a softmax"):
        FastNNClassifier(network=network).fit(df)
    with pytest.raises(ValueError, match="label is null"):
        FastNNRegressor().fit(df.selectExpr("features", "double(null) as label"))


def test_two_tasks_in_exact_mode_give_the_bits_of_one(spark: Any) -> None:
    pytest.importorskip("torch")
    df = frame(spark)
    both = classifier(numWorkers=2, epochs=3, mode="exact").fit(df).getNetwork()
    rows = given(df).repartition(2)  # Spark deals them out by what is in them
    alone = classifier(epochs=3, featuresCol="x", labelCol="y").fit(rows).getNetwork()
    for mine, other in zip(both.get_weights(), alone.get_weights(), strict=True):
        assert mine.tobytes() == other.tobytes()
