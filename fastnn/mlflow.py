"""Models in MLflow: a flavour of its own and as pyfunc, and a callback of a fit."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastnn import _names
from fastnn._checks import as_list, check_flag, check_path, check_text, shown
from fastnn._output import warn
from fastnn._version import __version__
from fastnn.callbacks.base import Logs, TrainerCallback
from fastnn.callbacks.monitors import number_of
from fastnn.models import check_model, load_model as load_file

__all__ = ["MlflowCallback", "load_model", "log_model", "model_signature", "resolve", "save_model"]

FLAVOR = "fastnn"
FILE = "model.fastnn"


def mlflow_of(what: str) -> Any:
    """MLflow; ImportError, with the command, where a part of it is missing."""
    try:
        import mlflow.models
        import mlflow.pyfunc
    except ImportError as error:
        raise ImportError(f'{what} needs MLflow and pandas: pip install "fastnn[mlflow]"') from error
    return mlflow


def model_signature(model: Any) -> Any:
    """What MLflow checks rows by before a pyfunc model sees them: a ``mlflow.models.ModelSignature``, or None.

    A ColSpec "double" for each column, by its name where the model was fitted on names: it takes float32, float64 and
    int32, but no int64; a TensorSpec of float32 would refuse float64. None for a model of rows of several axes, of
    several inputs or outputs, or of texts: it takes what ``predict`` does.
    """
    mlflow = mlflow_of("model_signature")
    check_model("model_signature", model)
    description = model.description
    if description.plan is None or description.front is not None or len(description.graph.inputs) != 1:
        return None
    row = description.graph.inputs[0].row
    if len(row) != 1 or description.gives.kind != "one":
        return None
    from mlflow.types import ColSpec, Schema, TensorSpec
    from numpy import dtype

    names = model.feature_names
    columns = [ColSpec("double", name) for name in names] if len(names) == row[0] else [ColSpec("double")] * row[0]
    given = TensorSpec(dtype("float32"), (-1, *description.output_shapes()[0]))
    return mlflow.models.ModelSignature(inputs=Schema(columns), outputs=Schema([given]))


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    *,
    mlflow_model: Any = None,
    signature: Any = None,
    pip_requirements: Iterable[str] = (f"fastnn=={__version__}", "pandas"),
) -> None:
    """Save a model as a folder that MLflow loads, as the flavour "fastnn" and as pyfunc.

    path: a folder that is not there yet, or empty. mlflow_model: a ``mlflow.models.Model`` to enter the flavours in.
    signature: a ModelSignature, False for none, None for that of `model_signature`. pip_requirements: of the
    environment that MLflow serves the model in.
    """
    mlflow = mlflow_of("save_model")
    check_model("save_model", model)
    folder = Path(check_path("save_model: path", path))
    given = [pip_requirements] if isinstance(pip_requirements, str) else pip_requirements
    needs = as_list("save_model: pip_requirements", given, "texts")
    told = mlflow.models.Model() if mlflow_model is None else mlflow_model
    signature = model_signature(model) if signature is None else signature
    if signature is not False:
        told.signature = signature
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"save_model: {str(folder)!r} is there already; give the path of a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / FILE)
    data = (folder / FILE).read_bytes()
    (folder / "requirements.txt").write_text("".join(f"{each}\n" for each in needs), encoding="utf-8")
    env = f"python: {platform.python_version()}\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n"
    (folder / "python_env.yaml").write_text(env, encoding="utf-8")
    mlflow.pyfunc.add_to_model(told, loader_module="fastnn.mlflow", data=FILE, python_env="python_env.yaml")
    known = {"size": len(data), "sha256": sha256(data).hexdigest(), "feature_names": [*model.feature_names]}
    told.add_flavor(FLAVOR, fastnn_version=__version__, data=FILE, **known)
    told.save(str(folder / "MLmodel"))


def log_model(
    model: Any, name: str = "model", *, registered_model_name: str | None = None, signature: Any = None, **options: Any
) -> Any:
    """Log a model in MLflow's active run, or in one that this starts; gives MLflow's ``ModelInfo``.

    name: of the logged model. registered_model_name: also make it the next version of that name. options: what else
    `save_model` takes, and ``mlflow.models.Model.log`` (params, tags, step, model_type, ...).
    """
    mlflow = mlflow_of("log_model")
    check_model("log_model", model)
    return mlflow.models.Model.log(
        artifact_path=None,
        name=check_text("log_model: name", name),
        flavor=sys.modules[__name__],
        registered_model_name=registered_model_name,
        model=model,
        signature=signature,
        **options,
    )


def load_model(
    model_uri: str,
    *,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    dst_path: str | os.PathLike[str] | None = None,
) -> Any:
    """The model that a URI of MLflow's names, as ``fastnn.models.load_model`` loads it: no code of the folder is run.

    model_uri: "models:/NAME@ALIAS", "models:/NAME/VERSION", "models:/ID", "runs:/RUN/NAME", or a folder. dst_path:
    where to download it to. custom_objects, compile: as in ``fastnn.models.load_model``.

    ValueError for a name, version or alias that MLflow does not know, in its words, and where it is no fastnn model.
    """
    mlflow = mlflow_of("load_model")
    uri = check_text("load_model: model_uri", os.fspath(model_uri) if isinstance(model_uri, Path) else model_uri)
    to = None if dst_path is None else check_path("load_model: dst_path", dst_path)
    with refusals(f"load_model: {uri!r} cannot be loaded"):
        folder = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=to)
    return load_file(Path(folder, flavor_of(mlflow, folder, repr(uri))["data"]), custom_objects, compile)


def resolve(model_uri: str) -> str:
    """The version that "models:/NAME@ALIAS", "models:/NAME/VERSION" or "models:/NAME/latest" stands for now, as a text.

    ValueError for another URI, and for a name, version or alias that MLflow does not know, in its words.
    """
    mlflow = mlflow_of("resolve")
    uri = check_text("resolve: model_uri", model_uri)
    parts = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+|latest))", uri)
    if parts is None:
        raise ValueError(f"resolve: model_uri must be models:/NAME@ALIAS or models:/NAME/VERSION, got {shown(uri)}")
    (name, alias, version), client = parts.groups(), mlflow.MlflowClient()
    with refusals(f"resolve: {uri!r} is not there"):
        if alias:
            return str(client.get_model_version_by_alias(name, alias).version)
        if version == "latest":
            client.get_registered_model(name)
            quote = '"' if "'" in name else "'"
            found = client.search_model_versions(f"name = {quote}{name}{quote}")
            return str(max(int(each.version) for each in found))
        return str(client.get_model_version(name, version).version)


@contextmanager
def refusals(what: str, secret: str = "") -> Iterator[None]:
    """What MLflow, its store or the way there refuses, as a ValueError with its words, without the secret."""
    try:
        yield
    except Exception as error:
        if type(error) in (TypeError, ValueError):  # in words of our own
            raise
        says = " ".join(str(error).split())
        if secret and secret in says:
            raise ValueError(f"{what}; MLflow says: {says.replace(secret, '***')}") from None
        raise ValueError(f"{what}; MLflow says: {says}") from error


def flavor_of(mlflow: Any, path: str, what: str) -> Any:
    """What an MLmodel, or a folder with one, says of the model's file. ValueError where it is missing or odd."""
    try:
        flavors = dict(mlflow.models.Model.load(path).flavors)
    except Exception as error:  # of YAML, of MLflow, and of what others have written into the file
        raise ValueError(f"{what} is no model that MLflow saved: {error}") from error
    if FLAVOR not in flavors:
        has = ", ".join(map(str, flavors)) or "none"
        raise ValueError(f"{what} is no fastnn model: its flavours are {has}; fastnn.mlflow.log_model logs one")
    name = flavors[FLAVOR].get("data") if isinstance(flavors[FLAVOR], dict) else None
    # It is a name that somebody has written: it may lead nowhere else.
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(f"{what} names its file {shown(name)}, where a name such as {FILE!r} is expected")
    return flavors[FLAVOR]


class _Pyfunc:
    """A model as MLflow calls it, with frames, arrays and dicts of arrays, of any numbers."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, data: Any, params: Any = None) -> Any:
        if hasattr(data, "iloc") and not isinstance(data.columns[0] if len(data.columns) else 0, str):
            data = data.to_numpy()  # an array, of which MLflow has made a frame
        return self.model.predict(data)


def _load_pyfunc(path: str, model_config: Any = None) -> _Pyfunc:
    """What ``mlflow.pyfunc.load_model`` calls. path: of the model's file."""
    return _Pyfunc(load_file(path))


LONGEST = 500  # characters of a parameter, which any version takes


class MlflowCallback(TrainerCallback):
    """Logs a fit in MLflow: its parameters, each epoch's loss and metrics, and at the end, if asked, the model.

    In the active run; where there is none, in one of the fit's own, which it ends: FINISHED, FAILED where an error ends
    the fit, KILLED by Ctrl-C. Parameters are epochs, batch_size, steps, parameters, loss, optimizer and what that was
    made with; one that the run has is left as it is. learning_rate is that of an epoch's last step. log_model: log the
    model as ``fastnn.mlflow.log_model`` does, unless an error ended the fit. registered_model_name: also make it the
    next version of that name. run_id: of the run of MLflow's, once the fit has begun.

    What MLflow refuses while the fit runs ends no fit: a warning says so. ImportError where MLflow or pandas is
    missing.
    """

    def __init__(self, log_model: bool = False, registered_model_name: str | None = None) -> None:
        self.log_model = log_model
        check_flag(self, "log_model")
        if registered_model_name is not None:
            check_text("MlflowCallback: registered_model_name", registered_model_name)
            self.log_model = True
        self.registered_model_name = registered_model_name
        self.run_id: str | None = None
        self._mlflow = mlflow_of("MlflowCallback")
        self._rate: float | None = None
        self._own = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._own = self._mlflow.active_run() is None
        run = self._mlflow.start_run() if self._own else self._mlflow.active_run()
        self.run_id = run.info.run_id
        told = {name: self.params.get(name) for name in ("epochs", "batch_size", "steps")}
        told |= {"parameters": self.model.count_params(), **_compiled(self.model)}
        known = self._client().get_run(self.run_id).data.params
        new = {name: str(each)[:LONGEST] for name, each in told.items() if each is not None and name not in known}
        self._try("log_params", lambda: self._mlflow.log_params(new, run_id=self.run_id))

    def measured(self, rate: float, seconds: float) -> None:
        self._rate = rate

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        found = {name: number_of(each) for name, each in {"learning_rate": self._rate, **(logs or {})}.items()}
        numbers = {name: each for name, each in found.items() if each is not None}
        self._try("log_metrics", lambda: self._mlflow.log_metrics(numbers, step=epoch, run_id=self.run_id))

    def on_train_end(self, logs: Logs | None = None) -> None:
        try:
            if self.log_model:
                log_model(self.model, run_id=self.run_id, registered_model_name=self.registered_model_name)
        except BaseException:
            self._end("FAILED")
            raise
        self._end("FINISHED")

    def on_train_interrupt(self, error: BaseException, logs: Logs | None = None) -> None:
        self._end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")

    def _end(self, status: str) -> None:
        if self._own:
            self._try("end_run", lambda: self._mlflow.end_run(status))

    def _client(self) -> Any:
        return self._mlflow.MlflowClient()

    def _try(self, what: str, call: Any) -> None:
        try:
            call()
        except Exception as error:  # of MLflow, of its store, of the way there
            warn(f"MlflowCallback: {what} failed: {error}")


def _compiled(model: Any) -> dict[str, Any]:
    """What a model was compiled with, as parameters."""
    from fastnn.optimizers import serialize

    optimizer = model.optimizer
    values = {name: getattr(optimizer, name, None) for name in serialize(optimizer)["config"]}
    made = {f"optimizer_{name}": each for name, each in values.items() if name != "name" and each not in (None, False)}
    return {"loss": getattr(model.loss, "name", model.loss), "optimizer": type(optimizer).__name__, **made}


_names.offer(globals())
