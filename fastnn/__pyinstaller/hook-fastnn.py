"""A program that PyInstaller makes has all of fastnn, and of other packages only what the program itself imports."""

from __future__ import annotations

from pathlib import Path

import fastnn

ROOT = Path(fastnn.__file__).parent
HERE = Path(__file__).parent
SUFFIXES = (".py", ".so", ".pyd")

# Modules are found by names, which a look through the sources does not show; folders of kernels have no __init__.py.
_files = [path for path in ROOT.rglob("*") if path.suffix in SUFFIXES and HERE not in path.parents]
_names = {path.relative_to(ROOT.parent).with_name(path.name.partition(".")[0]).parts for path in _files}
hiddenimports = sorted(".".join(parts).removesuffix(".__init__") for parts in _names if parts[-1] != "__main__")
_data = [path for ending in ("npz", "html") for path in ROOT.rglob(f"*.{ending}")]
datas = [(str(path), str(path.parent.relative_to(ROOT.parent))) for path in _data]
# Large ones that fastnn speaks to where they are. One that the program imports is there, and fastnn finds it.
excludedimports = """
    IPython airflow apache_beam duckdb grpc h5py jax keras matplotlib mlflow onnx onnxruntime optuna pandas plotly
    polars pyarrow scipy shap sklearn strawberry tensorboardX tensorflow thinc torch
""".split()  # noqa: SIM905
