"""fastnn.mlflow with MLflow itself, on SQLite: logged, registered, loaded both ways, and a fit as a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
import fastnn.mlflow as flavour
from fastnn.layers import Dense, Input
from fastnn.serve import Models
from support.registries import file_of, model

pytestmark = pytest.mark.filterwarnings("default")  # MLflow's packages warn of each other
X = np.random.default_rng(0).normal(size=(20, 4))


@pytest.fixture
def mlflow(mlflow_uri: str) -> Any:
    return pytest.importorskip("mlflow")


def named(pandas: Any) -> tuple[fastnn.Sequential, Any]:
    """A model that was fitted on columns with names, and such rows."""
    rows = pandas.DataFrame(X, columns=["a b", "ü", "c", "d"])
    made = fastnn.Sequential([Input((4,)), Dense(1)])
    made.compile("sgd", "mse")
    made.fit(rows, X[:, 0], epochs=1, verbose=0)
    return made, rows


def test_both_ways_give_the_same(mlflow: Any) -> None:
    made = model(1)
    info = flavour.log_model(made, "net", registered_model_name="churn")
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("churn", "champion", info.registered_model_version)
    for uri in ("models:/churn@champion", "models:/churn/1", info.model_uri):
        native, pyfunc = flavour.load_model(uri), mlflow.pyfunc.load_model(uri)
        assert file_of(native) == file_of(made)
        for rows in (X, X.astype(np.float32), X.astype(np.float16), (X * 9).astype(np.int32), X[:1]):
            np.testing.assert_array_equal(pyfunc.predict(rows), made.predict(rows))
            np.testing.assert_array_equal(native.predict(rows), made.predict(rows))
    assert {flavour.resolve(f"models:/churn{each}") for each in ("@champion", "/1", "/latest")} == {"1"}
    served = Models("models:/churn@champion").get("churn", "champion")
    assert served.version == "1"
    np.testing.assert_array_equal(served.model.predict(X), made.predict(X))
    flavour.log_model(made, "net", registered_model_name="churn")
    resolved = [flavour.resolve(f"models:/churn{each}") for each in ("@champion", "/1", "/latest")]
    assert resolved == ["1", "1", "2"]
    assert flavour.load_model(info.model_uri, compile=False).optimizer is None
    assert set(info.flavors) == {"fastnn", "python_function"}
    assert info.flavors["fastnn"]["size"] == len(file_of(made))


def test_frames_of_any_numbers(mlflow: Any) -> None:
    import pandas

    made, rows = named(pandas)
    uri = flavour.log_model(made).model_uri
    pyfunc, expected = mlflow.pyfunc.load_model(uri), made.predict(rows)
    for given in (rows, rows.astype("float32"), rows[["d", "c", "ü", "a b"]], rows.assign(more=1)):
        np.testing.assert_array_equal(pyfunc.predict(given), expected)
    whole = (rows * 9).round()
    np.testing.assert_array_equal(pyfunc.predict(whole.astype("int32")), made.predict(whole))
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing inputs"):
        pyfunc.predict(rows[["a b", "c"]])
    # Without names, also as MLflow's server makes frames.
    uri = flavour.log_model(model(1)).model_uri
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(uri).predict(pandas.DataFrame(X)), model(1).predict(X))


def test_signatures(mlflow: Any) -> None:
    import pandas

    signature = flavour.model_signature(model(1))
    assert [(each.type.name, each.name) for each in signature.inputs.inputs] == [("double", None)] * 4
    assert signature.outputs.inputs[0].shape == (-1, 1)
    made, _ = named(pandas)
    assert flavour.model_signature(made).inputs.input_names() == ["a b", "ü", "c", "d"]
    pictures = fastnn.Sequential([Input((3, 2)), fastnn.layers.Flatten(), Dense(2)])
    both = [Input((1,)), Input((2,))]
    several = fastnn.Model(both, Dense(1)(fastnn.layers.Concatenate()(both)))
    rows = [np.ones((5, 1)), np.ones((5, 2))]
    for each, x in ((pictures, np.ones((5, 3, 2))), (several, rows)):
        assert flavour.model_signature(each) is None
        pyfunc = mlflow.pyfunc.load_model(flavour.log_model(each).model_uri)
        given = dict(zip(each.input_names, x, strict=True)) if x is rows else x
        np.testing.assert_array_equal(pyfunc.predict(given), each.predict(x))
    own = mlflow.models.infer_signature(X.astype(np.float32))
    strict = mlflow.pyfunc.load_model(flavour.log_model(model(1), signature=own).model_uri)
    with pytest.raises(mlflow.exceptions.MlflowException, match="float64"):
        strict.predict(X)  # why the signature is not that one
    free = mlflow.pyfunc.load_model(flavour.log_model(model(1), signature=False).model_uri)
    assert free.metadata.signature is None
    np.testing.assert_array_equal(free.predict(X), model(1).predict(X))


def test_a_folder(mlflow: Any, tmp_path: Path) -> None:
    folder = tmp_path / "saved" / "net"
    flavour.save_model(model(1), folder, pip_requirements=["fastnn", "scipy"])
    assert {each.name for each in folder.iterdir()} == {
        "MLmodel",
        "model.fastnn",
        "requirements.txt",
        "python_env.yaml",
    }
    needs = (folder / "requirements.txt").read_text().split()
    assert needs == ["fastnn", "scipy"]
    assert file_of(flavour.load_model(folder)) == file_of(flavour.load_model(str(folder))) == file_of(model(1))
    info = flavour.log_model(model(1), metadata={"owner": "me"})
    assert info.metadata == {"owner": "me"}
    from mlflow.utils.environment import _PythonEnv  # what MLflow's server reads

    env = _PythonEnv.from_yaml(str(folder / "python_env.yaml"))
    assert (env.python, env.dependencies) == (sys.version.split()[0], ["-r requirements.txt"])
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(str(folder)).predict(X), model(1).predict(X))
    with pytest.raises(ValueError, match="is there already; give the path of a new folder"):
        flavour.save_model(model(1), folder)
    flavour.save_model(model(1), tmp_path / "b")
    assert (tmp_path / "b" / "requirements.txt").read_text() == f"fastnn=={fastnn.__version__}\npandas\n"


def test_what_a_file_may_not_say(mlflow: Any, tmp_path: Path) -> None:
    flavour.save_model(model(1), tmp_path / "net")
    file = tmp_path / "net" / "MLmodel"
    good = file.read_text()
    for odd in ("../net/model.fastnn", "/etc/passwd", "", "[a]", "..", ".hidden"):
        file.write_text(good.replace("    data: model.fastnn\n    fastnn", f"    data: {odd}\n    fastnn"))
        assert file.read_text() != good
        with pytest.raises(ValueError, match=r"names its file .*, where a name such as 'model.fastnn' is expected"):
            flavour.load_model(tmp_path / "net")
    for odd in ("", "[", "flavors: 3", "flavors: {}", "flavors: {sklearn: {}}", "flavors: {fastnn: 3}"):
        file.write_text(odd)
        with pytest.raises(ValueError, match=r"is no (fastnn model|model that MLflow saved)|names its file None"):
            flavour.load_model(tmp_path / "net")


def test_what_is_not_there(mlflow: Any) -> None:
    flavour.log_model(model(1), registered_model_name="net")
    for uri, words in (
        ("models:/nett@champion", "name=nett not found"),
        ("models:/net@champion", "alias champion not found"),
        ("models:/net/7", "version=7"),
        ("models:/", "Not a proper models:/ URI"),
        ("runs:/abc/net", "id=abc not found"),
        ("/nowhere", "No such artifact"),
        ("odd://x", "artifact repository"),
    ):
        with pytest.raises(ValueError, match=f"load_model: '{uri}' cannot be loaded; MLflow says: .*{words}"):
            flavour.load_model(uri)
    for uri in ("models:/nett@champion", "models:/net@champion", "models:/net/7", "models:/nett/latest"):
        with pytest.raises(ValueError, match=f"resolve: '{uri}' is not there; MLflow says: "):
            flavour.resolve(uri)
    for uri in ("models:/net", "models:/m-1", "runs:/a/b", "net", ""):
        with pytest.raises(ValueError, match="resolve: model_uri must be models:/NAME@ALIAS or"):
            flavour.resolve(uri)
    for odd in (None, 3, b"a"):
        with pytest.raises(TypeError, match="load_model: model_uri must be a string"):
            flavour.load_model(odd)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"log_model: model must be a fastnn\.models\.Model"):
        flavour.log_model(object())
    assert mlflow.MlflowClient().search_model_versions("name = 'net'")[0].version in (1, "1")


@pytest.mark.parametrize("hidden", ["mlflow.pyfunc", "mlflow"])
def test_a_missing_package(hidden: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, hidden, None)
    for what, call in (
        ("save_model", lambda: flavour.save_model(model(), tmp_path / "m")),
        ("log_model", lambda: flavour.log_model(model())),
        ("load_model", lambda: flavour.load_model("models:/m/1")),
        ("MlflowCallback", flavour.MlflowCallback),
    ):
        with pytest.raises(ImportError, match=rf'{what} needs MLflow and pandas: pip install "fastnn\[mlflow\]"'):
            call()
    assert list(tmp_path.iterdir()) == []


# The callback


def fitted(callback: Any, **options: Any) -> fastnn.Sequential:
    made = model(1)
    made.fit(X, X[:, 0], epochs=3, verbose=0, callbacks=[callback], **options)
    return made


def test_a_fit_is_a_run(mlflow: Any) -> None:
    callback = flavour.MlflowCallback(registered_model_name="fitted")
    made = fitted(callback, validation_data=(X, X[:, 0]), batch_size=5)
    assert mlflow.active_run() is None
    client = mlflow.MlflowClient()
    run = client.get_run(callback.run_id)
    assert run.info.status == "FINISHED"
    told = {"epochs": "3", "batch_size": "5", "steps": "4", "loss": "mse", "optimizer": "Adam", "parameters": "19"}
    assert run.data.params.items() >= told.items()
    assert float(run.data.params["optimizer_learning_rate"]) == pytest.approx(0.001)
    for name in ("loss", "val_loss"):
        logged = [each.value for each in client.get_metric_history(callback.run_id, name)]
        assert logged == pytest.approx(made.history.history[name])
    assert [each.step for each in client.get_metric_history(callback.run_id, "loss")] == [0, 1, 2]
    assert file_of(flavour.load_model("models:/fitted/1")) == file_of(made)
    assert client.get_model_version("fitted", "1").run_id == callback.run_id


def test_a_fit_in_the_users_run(mlflow: Any) -> None:
    callback = flavour.MlflowCallback()
    with mlflow.start_run() as run:
        mlflow.log_param("epochs", "mine")
        fitted(callback)
        fitted(callback)  # a second one logs on
        assert mlflow.active_run().info.run_id == run.info.run_id == callback.run_id
    found = mlflow.MlflowClient().get_run(run.info.run_id)
    assert found.data.params["epochs"] == "mine"
    assert found.data.params["optimizer"] == "Adam"
    assert mlflow.search_logged_models(output_format="list") == []


@pytest.mark.parametrize(("error", "status"), [(ZeroDivisionError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_fit_that_ends_early(error: type[BaseException], status: str, mlflow: Any) -> None:
    def fails(epoch: int, logs: Any) -> None:
        raise error

    callback = flavour.MlflowCallback(log_model=True)
    stop = fastnn.callbacks.LambdaCallback(on_epoch_end=fails)
    with pytest.raises(error):
        model(1).fit(X, X[:, 0], epochs=3, verbose=0, callbacks=[callback, stop])
    assert mlflow.active_run() is None
    assert mlflow.MlflowClient().get_run(callback.run_id).info.status == status
    assert mlflow.search_logged_models(output_format="list") == []


def test_what_mlflow_refuses_ends_no_fit(mlflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*given: Any, **named: Any) -> None:
        raise mlflow.exceptions.MlflowException("the disk is full")

    callback = flavour.MlflowCallback()
    monkeypatch.setattr(mlflow, "log_metrics", refuses)
    with pytest.warns(UserWarning, match="MlflowCallback: log_metrics failed: the disk is full"):
        made = fitted(callback)
    assert len(made.history.epoch) == 3
    for odd in ({"log_model": "yes"}, {"registered_model_name": 3}):
        with pytest.raises(TypeError, match="MlflowCallback: "):
            flavour.MlflowCallback(**odd)  # type: ignore[arg-type]
