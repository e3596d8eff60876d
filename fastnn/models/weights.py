"""Where weights live: in one flat vector for each group of models that have layers in common.

A layer knows its place in a store; all models that contain it run on that store's vector, so each sees what another
has learnt. A model made of layers from several stores, or of old and new ones, brings all of them into a new store.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from fastnn.engine.network import Lock, aligned, starts_of
from fastnn.initializers import Initializer, Zeros
from fastnn.layers import Layer, Parameter
from fastnn.layers.places import Place, place_of, set_place
from fastnn.layers.tensor import called
from fastnn.typing import Array, FloatArray, Shape

LEAST_MAPPED = 2**16  # bytes of weights that are worth a file

# Of making networks and stores: two threads may begin to use a model at once. Who holds it waits for no other lock: the
# stores' own come first.
lock = threading.RLock()


def _renew_lock() -> None:
    """After a fork, the thread that held it is not in this process."""
    global lock
    lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Runs(Protocol):
    """What runs on a store's vector: a model, by its description."""

    def move_to(self, store: Store, places: Mapping[Any, Place]) -> None:
        """Go on in another store."""


_most: ContextVar[int | None] = ContextVar("most", default=None)


@contextmanager
def at_most(numbers: int) -> Iterator[None]:
    """Within it a store of more numbers is a ValueError: a file describes more than it holds."""
    token = _most.set(numbers)
    try:
        yield
    finally:
        _most.reset(token)


class Store:
    """A flat float32 vector with its lock, the layers whose weights lie in it, and the models that run on it."""

    def __init__(self, size: int, flat: FloatArray | None = None) -> None:
        most = _most.get()
        if most is not None and size > most:
            raise ValueError(f"the model has {size:,} weights, and the file holds {most:,} numbers at most")
        self.flat: FloatArray = aligned(max(1, size)) if flat is None else flat
        self.lock = Lock()
        self.layers: weakref.WeakSet[Layer] = weakref.WeakSet()
        self.models: weakref.WeakSet[Runs] = weakref.WeakSet()
        self.prunings = 0  # how often it was said of a layer which of its weights stay 0

    def in_order(self) -> list[tuple[Layer, Place]]:
        """The layers with their places, as they lie."""
        found = [(layer, place) for layer in self.layers if (place := place_of(layer)) and place.store is self]
        return sorted(found, key=lambda pair: pair[1].start)


def gathered(
    layers: dict[Layer, tuple[Parameter, ...]], rng: np.random.Generator
) -> tuple[Store, dict[Layer, Place], list[Runs]]:
    """A store for these layers, the places that they and others have in it, and the models that must move to it.

    It is the store that they have in common, or a new one with all layers of theirs. New layers begin with their
    initialisers' values. Nothing changes before `commit`. The lock is held. ValueError where a layer has weights of
    other shapes.
    """
    places = {layer: place for layer in layers if (place := place_of(layer)) is not None}
    for layer, place in places.items():
        check_shapes(layer, place.parameters, layers[layer])
    stores = list(dict.fromkeys(place.store for place in places.values()))
    if len(stores) == 1 and len(places) == len(layers):
        return stores[0], places, []
    all_parameters = {layer: place.parameters for store in stores for layer, place in store.in_order()} | layers
    starts, size = starts_of([max(p.offset + p.size for p in own) for own in all_parameters.values()])
    store = Store(size)
    moved = {}
    for (layer, parameters), start in zip(all_parameters.items(), starts, strict=True):
        old = place_of(layer)
        before = None if old is None else old.views(old.store.flat)
        moved[layer] = Place(store, start, parameters)
        for number, (view, parameter) in enumerate(zip(moved[layer].views(store.flat), parameters, strict=True)):
            if before is not None:
                view[...] = before[number]
            elif type(parameter.initializer) is not Zeros:  # a new store is 0, in memory that nobody has touched
                view[...] = first_values(parameter.initializer, parameter.shape, rng)
    return store, moved, list(dict.fromkeys(model for each in stores for model in each.models))


def mapped(built: Any, folder: str) -> str | None:
    """Have a built model's weights lie in a map of a file in a folder, called by their checksum and made if need be.

    Processes that do so have them once in memory. To write to them stays possible: it copies pages for the one process.
    Gives the file's path, None where the weights are too few for one.
    """
    from fastnn.store.replacing import replacing

    before = built.store
    with before.lock, lock:
        if before.flat.nbytes < LEAST_MAPPED:
            return None
        path = os.path.join(folder, sha256(before.flat).hexdigest())
        try:
            flat = np.memmap(path, np.float32, "c")
        except FileNotFoundError:
            with replacing(path, lasting=False) as file:
                file.write(before.flat.data)
            flat = np.memmap(path, np.float32, "c")
        _move(built, flat)
    return path


def mapped_to(built: Any, path: str, mode: str) -> bool:
    """Have a built model's weights lie in a map of a .npy file: see ``fastnn.utils.map_weights``. Whether it was there.

    The weights that a file which is there has are not read.
    """
    from fastnn.store.replacing import replacing

    before = built.store
    with before.lock, lock:
        check_idle([before])
        there = os.path.exists(path)
        if not there:
            with replacing(path) as file:
                np.lib.format.write_array(file, before.flat)
        try:
            flat = np.lib.format.open_memmap(path, "c")  # "r+" would make a file longer that was cut off
        except ValueError as error:
            raise ValueError(f"map_weights: {path!r} is no whole .npy file: {error}") from None
        if (flat.shape, flat.dtype) != (before.flat.shape, before.flat.dtype):
            raise ValueError(
                f"map_weights: {path!r} holds {flat.dtype} {flat.shape}, and this model has its weights in one vector "
                f"of {before.flat.size} float32; give the file that the same model was mapped to, or a new name"
            )
        _move(built, flat if mode == "c" else np.lib.format.open_memmap(path, mode))
    return there


def _move(built: Any, flat: Array) -> None:
    """Have a built model, and all that share layers with it, run on another vector. The locks are held."""
    before, store = built.store, Store(0, np.asarray(flat))
    commit({layer: place._replace(store=store) for layer, place in before.in_order()})
    for layer in built.layers():  # those without weights would hold the old vector
        if (place := place_of(layer)) is not None and place.store is before:
            set_place(layer, place._replace(store=store))
    places = dict(store.in_order())
    for model in list(before.models):
        model.move_to(store, places)


def first_values(initializer: Any, shape: Shape, rng: np.random.Generator) -> Array:
    """What an initialiser, or any function of (shape, dtype), gives. ValueError where that has another shape."""
    if type(initializer).__call__ is Initializer.__call__:
        return np.asarray(initializer(shape, rng=rng))
    from inspect import Parameter, signature  # few write one

    names = signature(initializer).parameters
    any_name = any(each.kind is Parameter.VAR_KEYWORD for each in names.values())
    options = {"rng": rng} if "rng" in names else {}
    values = np.asarray(initializer(shape, **options, **({"dtype": "float32"} if "dtype" in names or any_name else {})))
    if values.shape != shape or values.dtype.kind not in "fiub":
        name = getattr(initializer, "__name__", type(initializer).__name__)
        raise ValueError(
            f"initializer {name} gave {values.dtype} {values.shape}; it must give numbers of shape {shape}"
        )
    return values


def check_idle(stores: Iterable[Store]) -> None:
    """RuntimeError where one of the stores, whose locks are held, is in use by a run of this thread."""
    if any(store.lock.runs for store in stores):
        raise RuntimeError(
            "a model with these layers is running in this thread; make the other when fit, evaluate or predict is done"
        )


def hold(layer: Layer, parameters: tuple[Parameter, ...], arrays: Iterable[Array]) -> None:
    """Give a new layer these weights, in a store of its own."""
    _, size = starts_of([max(each.offset + each.size for each in parameters)])
    place = Place(Store(size), 0, parameters)
    for view, array in zip(place.views(place.store.flat), arrays, strict=True):
        view[...] = array
    commit({layer: place})


def commit(places: dict[Layer, Place]) -> None:
    """Tell the layers their places."""
    for layer, place in places.items():
        set_place(layer, place)
        place.store.layers.add(layer)


def check_shapes(layer: Layer, had: tuple[Parameter, ...], needed: tuple[Parameter, ...]) -> None:
    """ValueError where a layer would need weights of other shapes than it has."""
    shapes, wanted = ([parameter.shape for parameter in each] for each in (had, needed))
    if shapes != wanted:
        raise ValueError(
            f"layer {called(layer)!r} has weights of shapes {shapes}, but here it needs {wanted}; "
            "a layer that is used twice must read rows of the same shape"
        )
