"""Names: what packages offer, said once, and what is told to who asks for a name that is not there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

# What others, or Keras's earlier versions, call what Keras calls otherwise; the first that is known is meant.
SYNONYMS = {
    "alpha": ("negative_slope",),
    "b_constraint": ("bias_constraint",),
    "b_regularizer": ("bias_regularizer",),
    "batch": ("batch_size",),
    "bce": ("binary_crossentropy",),
    "beta": ("beta_1", "momentum"),
    "beta_init": ("beta_initializer",),
    "bias": ("use_bias",),
    "bs": ("batch_size",),
    "callback": ("callbacks",),
    "cce": ("categorical_crossentropy",),
    "classes": ("num_classes", "units"),
    "cost": ("loss",),
    "criterion": ("loss",),
    "data": ("x", "sql"),
    "dim": ("units", "output_dim", "axis"),
    "drop": ("rate",),
    "dropout": ("rate",),
    "dropout_rate": ("rate",),
    "embedding_dim": ("output_dim",),
    "epoch": ("epochs",),
    "eps": ("epsilon",),
    "epsilon": ("min_delta",),
    "eta": ("learning_rate",),
    "features": ("x", "units"),
    "gamma": ("rho", "decay_rate"),
    "gamma_init": ("gamma_initializer",),
    "hidden": ("units",),
    "hidden_size": ("units",),
    "hidden_units": ("units",),
    "in_features": ("input_dim",),
    "init": ("kernel_initializer", "initializer"),
    "input_size": ("input_dim",),
    "inputs": ("x",),
    "iterations": ("epochs", "steps"),
    "kernel_init": ("kernel_initializer",),
    "l1": ("mean_absolute_error", "l1"),
    "l2": ("mean_squared_error", "l2"),
    "label": ("target", "y"),
    "labels": ("y", "y_true", "target"),
    "lambda": ("weight_decay", "l2"),
    "lasso": ("l1",),
    "learn_rate": ("learning_rate",),
    "logistic": ("sigmoid",),
    "logloss": ("binary_crossentropy",),
    "loss_fn": ("loss",),
    "loss_function": ("loss",),
    "lr": ("learning_rate", "initial_learning_rate", "min_lr"),
    "mae": ("mean_absolute_error",),
    "mape": ("mean_absolute_percentage_error",),
    "max_epochs": ("epochs",),
    "max_iter": ("epochs",),
    "metric": ("metrics",),
    "momentum": ("beta_1",),
    "mse": ("mean_squared_error",),
    "n_classes": ("num_classes", "units"),
    "n_epochs": ("epochs",),
    "n_hidden": ("units",),
    "n_iter": ("epochs",),
    "n_units": ("units",),
    "nb_classes": ("num_classes", "units"),
    "nb_epoch": ("epochs",),
    "nb_epochs": ("epochs",),
    "neurons": ("units",),
    "nll": ("categorical_crossentropy",),
    "nodes": ("units",),
    "nonlinearity": ("activation",),
    "num_embeddings": ("input_dim",),
    "num_epochs": ("epochs",),
    "num_features": ("units",),
    "num_units": ("units",),
    "objective": ("loss",),
    "optimiser": ("optimizer",),
    "out_dim": ("units", "output_dim"),
    "out_features": ("units",),
    "output": ("outputs",),
    "output_dim": ("units",),
    "outputs": ("units", "y"),
    "p": ("rate",),
    "path": ("filepath", "filename", "backup_dir", "log_dir"),
    "period": ("every_n_epochs",),
    "pred": ("y_pred",),
    "prob": ("rate",),
    "regularizer": ("kernel_regularizer",),
    "ridge": ("l2",),
    "rmse": ("root_mean_squared_error", "mean_squared_error"),
    "rows": ("batch_size",),
    "sample_weights": ("sample_weight",),
    "scheduler": ("schedule",),
    "shape": ("input_shape", "target_shape"),
    "size": ("units", "batch_size"),
    "slope": ("negative_slope",),
    "steps": ("steps_per_epoch",),
    "target": ("y",),
    "targets": ("y", "y_true", "target"),
    "test_data": ("validation_data",),
    "true": ("y_true",),
    "val_data": ("validation_data",),
    "val_split": ("validation_split",),
    "validation": ("validation_data",),
    "validation_set": ("validation_data",),
    "verbosity": ("verbose",),
    "vocab_size": ("input_dim", "max_tokens"),
    "w_constraint": ("kernel_constraint",),
    "w_regularizer": ("kernel_regularizer",),
    "weight_regularizer": ("kernel_regularizer",),
    "weights": ("sample_weight", "class_weight"),
    "xent": ("categorical_crossentropy",),
}


def hint(name: Any, known: Iterable[Any]) -> str:
    """What stands in an error behind an unknown name: " (did you mean 'relu'?)"; "" where no known one is near.

    A name of Keras that fastnn lacks is said to be that, where no known one differs from it in case or underscores
    alone.
    """
    near, sure = _nearest(name, known)
    if isinstance(name, str) and not sure:
        from fastnn import _keras, _old

        if name in _old.NAMES:
            return f" (write {_old.NAMES[name]})"
        if text := _keras.told(name, _keras.NAMES):
            return text
    return "" if near is None else f" (did you mean {near!r}?)"


def _nearest(name: Any, known: Iterable[Any]) -> tuple[str | None, bool]:
    """(The known name that an unknown one most likely stands for, whether that is sure)."""
    if not isinstance(name, str):
        return None, False
    plain = {_plain(each): each for each in known if isinstance(each, str)}
    sought = _plain(name)
    if sought in plain:
        return plain[sought], True
    for other in SYNONYMS.get(name.lower(), ()):
        if _plain(other) in plain:
            return plain[_plain(other)], True
    alike = [each for each in plain if sorted(each) == sorted(sought)]  # two letters that changed places
    begin = [each for each in plain if each.startswith(sought)] if len(sought) > 1 else []
    for found in (alike, begin):
        if len(found) == 1:
            return plain[found[0]], False
    from difflib import get_close_matches

    found = get_close_matches(sought[:100], plain, 1)
    return (plain[found[0]], False) if found else (None, False)


def _plain(name: str) -> str:
    """A name as it is compared: without case and what stands between words."""
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


# What a package offers.


def offer(names: dict[str, Any]) -> list[str]:
    """A module's ``__all__``, from its globals: what is fastnn's, but modules and what begins with an underscore.

    Its functions and the constructors of its classes are made to say what they take where an argument is wrong, and the
    module what it has where it is asked for a name that it has not. Where the module has an ``__all__``, that counts; a
    module that is no package offers what is defined in it.
    """
    package = __name__.partition(".")[0] if "__path__" in names else names["__name__"]
    offered: list[str] = names.get("__all__") or sorted(
        name for name, value in names.items() if not name.startswith("_") and _is_of(package, value)
    )
    for name in offered:
        value = names.get(name)
        if isinstance(value, type):
            # Not a model's call, which is a prediction: that of one row takes a microsecond.
            methods = ("__init__",) if hasattr(value, "predict") else ("__init__", "__call__")
            for cls in value.__mro__:
                if _is_of(__name__.partition(".")[0], cls):
                    explain(cls, *methods)
        elif hasattr(value, "__code__") and not hasattr(value, "__wrapped__"):
            names[name] = _explained(value)  # type: ignore[arg-type]
            home = vars(sys.modules[value.__module__])
            if home.get(name) is value:
                home[name] = names[name]
    names.setdefault("__getattr__", later(names["__name__"], {}, offered))
    names["__dir__"] = lambda: _listed(names, offered)
    return offered


def _listed(names: dict[str, Any], offered: list[str]) -> list[str]:
    """What ``dir`` gives of a module, for the completion of names: what it offers, imported or not, and no table."""
    public = names.get("__all__", offered)
    hidden = {name for name in public if type(names.get(name)).__name__ == "Table"}
    return sorted({name for name in names if name.startswith("__")} | set(public) - hidden)


def explain(cls: type, *methods: str) -> None:
    """Make a class's own methods say what they take where an argument is wrong."""
    for name in methods:
        method = vars(cls).get(name)
        if isinstance(method, FunctionType) and not hasattr(method, "explains"):
            setattr(cls, name, _explained(method))


def _is_of(package: str, value: Any) -> bool:
    """Whether a class, function or object is defined in a package or module."""
    home = str(getattr(value, "__module__", None) or type(value).__module__)
    return not isinstance(value, ModuleType) and (home == package or home.startswith(f"{package}."))


def _explained(function: FunctionType) -> Callable[..., Any]:
    """The function; where Python finds that it cannot be called so, the error says what it takes."""

    own = function
    while hasattr(own, "__wrapped__"):  # a wrapper takes anything
        own = own.__wrapped__
    start = f"{own.__qualname__}() "

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        try:
            return function(*given, **named)
        except TypeError as error:
            if error.args and str(error.args[0]).startswith(start):
                error.args = (_misfit(_owner(own, call, given), own, str(error.args[0]).removeprefix(start)),)
            raise

    call.explains = True  # type: ignore[attr-defined]
    return call


def _owner(function: FunctionType, call: Callable[..., Any], given: tuple[Any, ...]) -> str:
    """What a function is called in an error: a constructor by its class, a method by that of the object."""
    own = function.__qualname__.removesuffix(".__init__")
    if not given or function.__code__.co_varnames[:1] != ("self",):
        return own
    cls = type(given[0])
    if own != function.__qualname__:  # another's, where a constructor of the user's own calls it
        return cls.__name__ if cls.__init__ is call else own
    return f"{cls.__name__}.{function.__name__}"


def _misfit(owner: str, function: FunctionType, text: str) -> str:
    """What to say of arguments that do not fit, of which Python says `text`."""
    code = function.__code__
    takes = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    takes = takes[1:] if takes[:1] == ("self",) else takes
    _, found, after = text.partition("got an unexpected keyword argument '")
    if found:
        return unknown_argument(owner, after.partition("'")[0], takes)
    several = f"; several {takes[0]} are given as one list" if takes[:1] in (("inputs",), ("layers",)) else ""
    return f"{owner}() {text}; it takes {', '.join(takes) or 'nothing'}{several}"


def unknown_argument(owner: str, name: str, takes: Iterable[str]) -> str:
    """What to say of an argument that there is not."""
    takes = list(takes)
    near, sure = _nearest(name, takes)
    what = "" if near is None else f" (did you mean {near!r}?)"
    if not sure:
        from fastnn import _keras, _old

        old = _old.ARGUMENTS.get(name)
        what = f" ({old})" if old else _keras.told(name, _keras.ARGUMENTS) or what
    return f"{owner}() got an unexpected keyword argument {name!r}{what}; it takes {', '.join(takes) or 'nothing'}"


def later(package: str, homes: Mapping[str, str], offered: Iterable[str]) -> Callable[[str], Any]:
    """A module's ``__getattr__``, for names that are imported when first asked for: ``import fastnn`` must stay short.

    homes: the submodule that each name is in, or is itself. AttributeError for any other, or ImportError where it was
    to be imported, with the one of those that are `offered` that may have been meant.
    """

    def __getattr__(name: str) -> Any:
        if name in homes:
            module = import_module(f"{package}.{homes[name]}")
            return module if homes[name] == name else getattr(module, name)
        if name.startswith("_"):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        what = hint(name, vars(sys.modules[package]).get("__all__", offered))
        # Python would put words of its own in the place of an AttributeError.
        if _is_imported(sys._getframe(1)):  # noqa: SLF001
            raise ImportError(f"cannot import name {name!r} from {package!r}{what}", name=name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}{what}")

    return __getattr__


def _is_imported(frame: Any) -> bool:
    """Whether a frame is at ``from ... import ...``."""
    from opcode import opname

    return bool(opname[frame.f_code.co_code[frame.f_lasti]] == "IMPORT_FROM")


class _Finder:
    """The last of Python's finders of modules: of one below fastnn that Keras once had, it says what to write."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: ModuleType | None = None) -> None:
        if name.startswith("fastnn."):
            from fastnn import _old

            if what := _old.MODULES.get(name.removeprefix("fastnn.")):
                raise ModuleNotFoundError(f"No module named {name!r} (write {what})", name=name)


def know_old_modules() -> None:
    """Have the import of a module of older Keras, such as ``fastnn.layers.core``, say what to write today."""
    if not any(getattr(each, "__name__", "") == _Finder.__name__ for each in sys.meta_path):
        sys.meta_path.append(_Finder)
