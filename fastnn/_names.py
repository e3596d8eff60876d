"""What packages offer, said once: each module lists its own names, and a package takes those of its modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def offered(names: Mapping[str, Any]) -> list[str]:
    """A package's ``__all__``, from its globals: what is fastnn's, but modules and what begins with an underscore."""
    return sorted(name for name, value in names.items() if not name.startswith("_") and _is_own(value))


def _is_own(value: Any) -> bool:
    """Whether a class, function or object is defined in this package."""
    home = str(getattr(value, "__module__", None) or type(value).__module__)
    return not isinstance(value, ModuleType) and home.split(".")[0] == __name__.split(".")[0]


# What others, or Keras's earlier versions, call what Keras calls otherwise.
SYNONYMS = {
    "alpha": ("negative_slope",),
    "beta": ("beta_1", "beta_2", "momentum"),
    "bias": ("use_bias",),
    "callback": ("callbacks",),
    "class_weights": ("class_weight",),
    "col": ("column",),
    "cost": ("loss",),
    "criterion": ("loss",),
    "data": ("x",),
    "decay": ("weight_decay",),
    "drop": ("rate",),
    "dropout": ("rate",),
    "eps": ("epsilon",),
    "eta": ("learning_rate",),
    "features": ("x",),
    "gamma": ("rho", "decay_rate"),
    "hidden": ("units",),
    "init": ("kernel_initializer",),
    "iterations": ("epochs", "steps"),
    "kernel_init": ("kernel_initializer",),
    "l1_reg": ("l1",),
    "l2_reg": ("l2",),
    "label": ("target", "y"),
    "labels": ("y", "y_true"),
    "lr": ("learning_rate", "initial_learning_rate", "min_lr"),
    "lambda": ("weight_decay", "l2"),
    "max_iter": ("epochs",),
    "n_epochs": ("epochs",),
    "n_units": ("units",),
    "names": ("name",),
    "nb_epoch": ("epochs",),
    "nb_epochs": ("epochs",),
    "nodes": ("units",),
    "nonlinearity": ("activation",),
    "num_epochs": ("epochs",),
    "objective": ("loss",),
    "optim": ("optimizer",),
    "out_features": ("units",),
    "output_dim": ("units",),
    "p": ("rate",),
    "path": ("filepath", "filename", "backup_dir", "log_dir"),
    "pred": ("y_pred",),
    "prob": ("rate",),
    "regularizer": ("kernel_regularizer",),
    "rows": ("batch_size",),
    "samples": ("x",),
    "scheduler": ("schedule",),
    "size": ("units",),
    "slope": ("negative_slope",),
    "steps": ("steps_per_epoch",),
    "target": ("y",),
    "targets": ("y", "y_true", "target"),
    "valid_data": ("validation_data",),
    "w_regularizer": ("kernel_regularizer",),
    "weights": ("sample_weight", "class_weight"),
}


def hint(name: Any, known: Iterable[Any]) -> str:
    """ " (did you mean 'relu'?)" for an unknown name, to stand behind it in an error; "" where no known one is near."""
    near = nearest(name, known)
    return "" if near is None else f" (did you mean {near!r}?)"


def nearest(name: Any, known: Iterable[Any]) -> str | None:
    """The known name that an unknown one most likely stands for, None where none is near."""
    if not isinstance(name, str):
        return None
    plain = {_plain(each): each for each in known if isinstance(each, str)}
    sought = _plain(name)
    for candidate in (sought, *map(_plain, SYNONYMS.get(name.lower(), ()))):
        if candidate in plain:
            return plain[candidate]
    from difflib import get_close_matches

    found = get_close_matches(sought[:100], plain, 1, 0.7)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    """A name as it is compared: without case and what stands between words."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def later(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``, for names that are imported when first asked for: ``import fastnn`` must stay short.

    homes: the submodule that each name is in, or is itself.
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{homes[name]}")
        return module if homes[name] == name else getattr(module, name)

    return __getattr__
