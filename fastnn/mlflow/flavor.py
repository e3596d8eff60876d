"""The flavour: a folder with a model's file and what MLflow is to know of it."""

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
from fastnn._checks import as_list, check_path, check_text, shown
from fastnn._version import __version__
from fastnn.models import check_model, load_model as load_file

__all__ = ["load_model", "log_model", "model_signature", "resolve", "save_model"]

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

    A model of columns has a ColSpec "double" for each, by its ``feature_names`` where it has them, which takes float32,
    float64 and whole numbers of up to 32 bits (MLflow takes no int64 for a double); a TensorSpec of float32 would
    refuse float64. None for a model of rows of several axes,
    of several inputs, or of texts, which takes what ``predict`` does.
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
    metadata: Mapping[str, Any] | None = None,
    pip_requirements: Iterable[str] | None = None,
    extra_pip_requirements: Iterable[str] = (),
) -> None:
    """Save a model as a folder that MLflow loads, as the flavour "fastnn" and as pyfunc.

    path: a folder that is not there yet. mlflow_model: a ``mlflow.models.Model`` to enter the flavours in. signature: a
    ModelSignature, False for none; None for that of `model_signature`. metadata: names and values that MLflow shows.
    pip_requirements: of the environment that MLflow serves the model in, by default this fastnn and pandas;
    extra_pip_requirements: beside them.

    ValueError where there is such a folder; ImportError where MLflow or pandas is missing.
    """
    mlflow = mlflow_of("save_model")
    check_model("save_model", model)
    folder = Path(check_path("save_model: path", path))
    needs = [f"fastnn=={__version__}", "pandas"] if pip_requirements is None else _texts(pip_requirements)
    needs += _texts(extra_pip_requirements, "extra_")
    told = mlflow.models.Model() if mlflow_model is None else mlflow_model
    if metadata is not None:
        told.metadata = {**(told.metadata or {}), **metadata}
    signature = model_signature(model) if signature is None else signature
    if signature is not False:
        told.signature = signature
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"save_model: {str(folder)!r} is there already; give the path of a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / FILE)
    data = (folder / FILE).read_bytes()
    python = platform.python_version()
    (folder / "requirements.txt").write_text("".join(f"{each}\n" for each in needs), encoding="utf-8")
    build = "build_dependencies: [pip]\ndependencies: [-r requirements.txt]\n"
    (folder / "python_env.yaml").write_text(f"python: {python}\n{build}", encoding="utf-8")
    pip = f"dependencies: [python={python}, pip, {{pip: [-r requirements.txt]}}]\n"
    (folder / "conda.yaml").write_text(f"name: mlflow-env\nchannels: [conda-forge]\n{pip}", encoding="utf-8")
    mlflow.pyfunc.add_to_model(
        told, loader_module="fastnn.mlflow", data=FILE, conda_env="conda.yaml", python_env="python_env.yaml"
    )
    known = {"size": len(data), "sha256": sha256(data).hexdigest(), "feature_names": [*model.feature_names]}
    told.add_flavor(FLAVOR, fastnn_version=__version__, data=FILE, **known)
    told.save(str(folder / "MLmodel"))


def log_model(
    model: Any,
    name: str = "model",
    *,
    registered_model_name: str | None = None,
    signature: Any = None,
    metadata: Mapping[str, Any] | None = None,
    pip_requirements: Iterable[str] | None = None,
    extra_pip_requirements: Iterable[str] = (),
    **options: Any,
) -> Any:
    """Log a model in MLflow's active run, or in one that this starts; gives MLflow's ``ModelInfo``.

    name: of the logged model. registered_model_name: also make it the next version of that name in MLflow's registry.
    options: of ``mlflow.models.Model.log`` (params, tags, step, model_type, ...). The rest: as in `save_model`.
    """
    mlflow = mlflow_of("log_model")
    check_model("log_model", model)
    return mlflow.models.Model.log(
        artifact_path=None,
        name=check_text("log_model: name", name),
        flavor=sys.modules["fastnn.mlflow"],
        registered_model_name=registered_model_name,
        model=model,
        signature=signature,
        metadata=metadata,
        pip_requirements=pip_requirements,
        extra_pip_requirements=extra_pip_requirements,
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


def _texts(given: Any, what: str = "") -> list[str]:
    each = f"save_model: {what}pip_requirements"
    return [check_text(each, one) for one in as_list(each, [given] if isinstance(given, str) else given, "texts")]


_names.offer(globals())
