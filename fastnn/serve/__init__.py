"""Models over the network: the Open Inference Protocol v2 (KServe, Triton), as an ASGI application.

``fastnn serve model.fastnn --port 8000`` runs it by uvicorn; ``app(models)`` is for any server. It needs Starlette,
``pip install "fastnn[serve]"``; requests for predictions themselves are plain ASGI (``asgi.py``).
"""

# For what is built on it:
#
# - A request that was answered is told to each of `app(..., hooks=[hook])`: hook(prediction), a `Prediction`, with the
#   model's name and version, the tensors that came and the model's outputs as arrays by name, ids, seconds, and whether
#   it was a shadow's. It is called in the event loop behind the answer: one that does more than note things hands them
#   to a thread of its own. What it raises is logged, and nobody else's concern. `application.hooks` is the list.
# - `Models.listeners`: listener("loaded" or "unloaded", served), called by the thread that does it. `Models.served()`
#   has all versions; each is a `Served` with `name`, `version`, `model`, `inputs`, `outputs` (`Tensor`s), `columns`.
# - `app(..., routes=[...])`: Starlette's routes beside the protocol's (a page at "/", GraphQL), behind the same
#   token, limits, ids and log. Inside, `request.app.state.application` is the Application, with `models` and `meter`.
# - `Application.companions`: other servers, with `await each.start()` and `await each.stop()`, which live as long as
#   it does; `predicting.predicted` is a prediction that counts and is told like any, for other protocols.
# - `Application.closing`: functions that are called, in a thread, when no more is served.
# - `running.Options.setup`: functions that can be pickled, called with the Application of each process of `fastnn
#   serve`, so that they may add hooks and collectors there.
# - `Application.meter.registry`: a prometheus_client registry to which collectors may be added; None where that is
#   not installed: `if application.meter is not None`.
# - `await served.predict(served.rows_of(tensors), rows, application.pool)` gives [(Tensor, array), ...] for tensors by
#   name; RequestError (a ValueError with a status of HTTP) says what is wrong with them. In a thread without a loop,
#   `served.outputs_of(served.rows_of(tensors))`.

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastnn import _names

if TYPE_CHECKING:
    from fastnn.serve import drift, monitor
    from fastnn.serve.asgi import Application, Prediction
    from fastnn.serve.models import Models
    from fastnn.serve.predictions import Observer, PredictionLog, observe
    from fastnn.serve.protocol import RequestError, Tensor
    from fastnn.serve.served import Served

# Imported when first asked for.
_HOMES = {
    "Models": "models",
    "Observer": "predictions",
    "Prediction": "asgi",
    "PredictionLog": "predictions",
    "RequestError": "protocol",
    "Served": "served",
    "Tensor": "protocol",
    "drift": "drift",
    "monitor": "monitor",
    "observe": "predictions",
}
__all__ = [
    "Models",
    "Observer",
    "Prediction",
    "PredictionLog",
    "RequestError",
    "Served",
    "Tensor",
    "app",
    "drift",
    "monitor",
    "observe",
]


def app(
    models: Any,
    *,
    token: str | None = None,
    max_body: int = 16 * 2**20,
    timeout: float = 30.0,
    cors: Iterable[str] = (),
    hosts: Iterable[str] = (),
    hooks: Iterable[Callable[[Prediction], None]] = (),
    routes: Iterable[Any] = (),
    watch: float | None = None,
) -> Application:
    """An ASGI application that serves models: ``uvicorn.run(fastnn.serve.app("model.fastnn"))``.

    models: a ``Models``; a model that is built; a place as ``Models.load`` takes it; or a list of models and places.
    token: what requests must bring as a bearer token, but for /v2/health; None for no such thing. max_body: bytes that
    the body of a request may have (413 beyond). timeout: seconds from a request's first line to its answer (408, 503).
    cors: origins whose pages may ask. hosts: what the header Host may be (421 else), () for anything. hooks: are told
    of each answer, see ``Prediction``. routes: Starlette's routes beside those of the protocol. watch: seconds between
    two looks at whether the places have changed; None for none.

    Raises what ``Models.load`` raises; ImportError where Starlette is missing.
    """
    from fastnn.serve.asgi import application
    from fastnn.serve.models import Models

    if not isinstance(models, Models):
        given, models = models, Models()
        for each in given if isinstance(given, (list, tuple)) else [given]:
            (models.add if hasattr(each, "predict") else models.load)(each)
    return application(
        models,
        token=token,
        max_body=max_body,
        timeout=timeout,
        cors=cors,
        hosts=hosts,
        hooks=hooks,
        routes=routes,
        watch=watch,
    )


__getattr__ = _names.later(__name__, _HOMES, __all__)
_names.offer(globals())
