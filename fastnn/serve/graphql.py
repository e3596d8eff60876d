"""GraphQL at /graphql, to look at models and to predict a few rows; a request costs some twenty of the protocol's.

A query is bounded in depth, aliases, tokens and rows; an error says what is wrong with it, and nothing of the server.
"""

# Annotations are evaluated: strawberry reads them, also those in a function.

import json
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn._checks import shown

from .asgi import Application
from .predicting import predicted
from .protocol import RequestError
from .served import Served

DEPTH, ALIASES, TOKENS, ROWS = 5, 8, 2000, 100
Numbers = list[list[float | None]]


@dataclass
class Tensor:
    """What a model reads or gives. shape: -1 for the rows."""

    name: str
    datatype: str
    shape: list[int]


@dataclass
class Alias:
    """What an alias stands for: versions by shares; a shadow is only tried."""

    name: str
    versions: list[str]
    shares: list[float]
    shadow: str | None


@dataclass
class Model:
    """A version of a model."""

    name: str
    version: str
    versions: list[str]
    aliases: list[Alias]
    platform: str
    parameters: int
    inputs: list[Tensor]
    outputs: list[Tensor]
    columns: list[str]
    labels: list[str]


@dataclass
class Input:
    """An input by its name: numbers or texts, a list for each row, flat."""

    name: str
    numbers: Numbers | None = None
    texts: list[list[str | None]] | None = None


@dataclass
class Output:
    """An output: a list of numbers for each row, flat; null for what is not finite."""

    name: str
    shape: list[int]
    rows: Numbers


@dataclass
class Prediction:
    """What a version gives for some rows."""

    model: str
    version: str
    labels: list[str]
    outputs: list[Output]


def beside(app: Application) -> None:
    """Have an application answer at /graphql. ImportError where strawberry is missing."""
    app.others.routes.extend(routes())


def routes() -> list[Any]:
    """Starlette's routes for ``app(models, routes=fastnn.serve.graphql.routes())``. ImportError without strawberry."""
    try:
        import strawberry
        from graphql import GraphQLError
        from strawberry.asgi import GraphQL
        from strawberry.extensions import MaskErrors, MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter
        from strawberry.types import Info
    except ImportError as error:
        raise ImportError('fastnn.serve.graphql needs strawberry: pip install "fastnn[graphql]"') from error
    from starlette.routing import Route

    for kind in (Tensor, Alias, Model, Output, Prediction):
        strawberry.type(kind, description=kind.__doc__)
    strawberry.input(Input, description=Input.__doc__)

    def app_of(info: Any) -> Application:
        found: Application = info.context["request"].app.state.application
        return found

    def models(info: Info) -> list[Model]:
        app = app_of(info)
        return [_model(app, app.models.get(name)) for name in app.models.names()]

    def model(info: Info, name: str, version: str | None = None) -> Model:
        app = app_of(info)
        return _model(app, app.models.get(name, version))

    async def predict(
        info: Info,
        model: str,
        version: str | None = None,
        rows: Numbers | None = None,
        inputs: list[Input] | None = None,
    ) -> Prediction:
        app = app_of(info)
        if (rows is None) == (inputs is None):
            raise RequestError("predict: give rows or inputs, one of the two")
        served = app.models.get(model, version)
        tensors: dict[str, Any] = {}
        for each in [Input(served.inputs[0].name, rows)] if inputs is None else inputs:
            if (each.numbers is None) == (each.texts is None) or each.name in tensors:
                raise RequestError(f"inputs: {shown(each.name)} must come once, with numbers or with texts")
            tensors[each.name] = _array(served, each)
        served, outputs = await predicted(app, model, version, tensors)
        given = [Output(tensor.name, [*array.shape], _lists(array)) for tensor, array in outputs]
        return Prediction(model, served.version, [str(each) for each in served.labels], given)

    words = {
        models: "All models, each in the version that a request without one has.",
        model: "A version of a model; version: a number or an alias.",
        predict: f"Predictions of at most {ROWS} rows: of the one input, or of inputs by name.",
    }
    fields = {call.__name__: strawberry.field(call, description=said) for call, said in words.items()}
    query = strawberry.type(type("Query", (), fields))

    def is_secret(error: Any) -> bool:
        return not isinstance(error.original_error, (RequestError, GraphQLError, type(None)))

    def noted(_: Any, errors: Any, context: Any = None) -> None:
        # Strawberry would log their words and places, and with them what is in the rows.
        for each in filter(is_secret, errors):
            said = {"error": type(each.original_error).__name__}
            context.context["request"].app.state.application.say(logging.ERROR, "graphql failed", said)

    limits = [
        lambda: QueryDepthLimiter(max_depth=DEPTH),
        lambda: MaxAliasesLimiter(max_alias_count=ALIASES),
        lambda: MaxTokensLimiter(max_token_count=TOKENS),
        lambda: MaskErrors(is_secret, "the server failed; its log says more"),
    ]
    schema = type("Schema", (strawberry.Schema,), {"process_errors": noted})(query, extensions=limits)
    view = type("View", (GraphQL,), {"decode_json": lambda _, data: _json(data)})
    # No page to try queries: theirs load scripts from elsewhere.
    return [Route("/graphql", view(schema, graphql_ide=None, allow_queries_via_get=False), methods=["POST"])]


def _json(data: str | bytes) -> Any:
    """What a body says; an error that strawberry knows for all that is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise json.JSONDecodeError(type(error).__name__, "", 0) from None


def _model(app: Application, served: Served) -> Model:
    aliases = [
        Alias(name, [*said["versions"]], [*said["versions"].values()], said["shadow"])
        for name, said in app.models.aliases(served.name).items()
    ]
    inputs, outputs = ([Tensor(**each.described()) for each in some] for some in (served.inputs, served.outputs))
    versions, labels = app.models.versions(served.name), [str(each) for each in served.labels]
    size = served.model.count_params()
    return Model(
        served.name, served.version, versions, aliases, "fastnn", size, inputs, outputs, [*served.columns], labels
    )


def _array(served: Served, given: Input) -> Any:
    """An input's rows, in the shape that the model reads where they have as many values. RequestError for odd ones."""
    rows: list[Any] = (given.numbers or given.texts) or []
    if not 1 <= len(rows) <= ROWS:
        raise RequestError(f"{shown(given.name)}: GraphQL predicts 1 to {ROWS} rows, got {len(rows)}; see /v2")
    if len({len(row) for row in rows}) > 1:
        raise RequestError(f"{shown(given.name)}: all rows must have as many values as the first, {len(rows[0])}")
    array = np.array(rows, np.float64 if given.texts is None else object).reshape(len(rows), len(rows[0]))
    shape = next((each.shape for each in served.inputs if each.name == given.name), None)
    return array if shape is None or array.shape[1] != np.prod(shape) else array.reshape(len(rows), *shape)


def _lists(array: Any) -> Any:
    flat = array.reshape(len(array), -1)
    return [[each if np.isfinite(each) else None for each in row] for row in flat.tolist()]
