"""GraphQL: what it says of models, what it predicts, and what bounds a query; an error says nothing of the server."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from fastnn import serve
from fastnn.layers import Concatenate, Dense, Input, StringLookup
from fastnn.models import Model, Sequential
from support.live import served

WHY = 'GraphQL: pip install "fastnn[serve,graphql]"'
pytest.importorskip("strawberry", reason=WHY)
pytest.importorskip("starlette", reason=WHY)

from fastnn.serve import graphql as ours  # noqa: E402

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
PREDICT = 'query($rows: [[Float]!]){predict(model: "one", rows: $rows){version labels outputs{name shape rows}}}'
INPUTS = "query($model: String!, $inputs: [Input!]){predict(model: $model, inputs: $inputs){outputs{name rows}}}"


@pytest.fixture(scope="module")
def one() -> Any:
    return Sequential([Input((3,), name="x"), Dense(2, name="y")], name="one")


@pytest.fixture(scope="module")
def mixed() -> Any:
    word, size = Input((1,), name="word", dtype="string"), Input((2,), name="size")
    coded = StringLookup(vocabulary=["yes", "no"], output_mode="one_hot", num_oov_indices=1)(word)
    return Model([word, size], Dense(2, name="out")(Concatenate()([coded, size])), name="mixed")


@pytest.fixture(scope="module")
def app(one: Any, mixed: Any) -> Any:
    models = serve.Models()
    models.add(one)
    models.add(one, version=2)
    models.add(mixed)
    models.alias("one", "production", {"1": 3, "2": 1}, shadow="2")
    return serve.app(models, routes=ours.routes())


@pytest.fixture(scope="module")
def url(app: Any) -> Iterator[str]:
    with served(app) as found:
        yield f"{found}/graphql"


def ask(url: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    return json.loads(send(url, body)[1])


def send(url: str, body: bytes | None, kind: str = "application/json") -> tuple[int, bytes]:
    try:
        with urlopen(Request(url, body, {"content-type": kind}), timeout=20) as answer:
            return 200, answer.read()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def error(url: str, query: str, **variables: Any) -> str:
    found = ask(url, query, **variables)
    assert not found["data"]
    (only,) = found["errors"]
    assert {*only} <= {"message", "locations", "path"}
    assert "Traceback" not in json.dumps(found)
    return str(only["message"])


def test_models_and_their_metadata(url: str) -> None:
    fields = "name version versions platform parameters columns labels aliases{name versions shares shadow}"
    fields += " inputs{name datatype shape} outputs{name datatype shape}"
    found = ask(url, f"{{models{{{fields}}}}}")["data"]["models"]
    assert [each["name"] for each in found] == ["mixed", "one"]
    assert found[1] == {
        "name": "one",
        "version": "2",
        "versions": ["1", "2"],
        "platform": "fastnn",
        "parameters": 8,
        "columns": [],
        "labels": [],
        "aliases": [{"name": "production", "versions": ["1", "2"], "shares": [3.0, 1.0], "shadow": "2"}],
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }
    assert ask(url, '{model(name: "one", version: "1"){version}}')["data"]["model"]["version"] == "1"
    assert "'two'" in error(url, '{model(name: "two"){version}}')


def test_predictions_are_the_models(url: str, one: Any, mixed: Any) -> None:
    (found,) = ask(url, PREDICT, rows=X.tolist())["data"]["predict"]["outputs"]
    assert (found["name"], found["shape"]) == ("y", [4, 2])
    np.testing.assert_array_equal(np.float32(found["rows"]), one.predict(X, verbose=0))
    words = np.array([["yes"], ["näh"]], object)
    inputs = [{"name": "word", "texts": words.tolist()}, {"name": "size", "numbers": X[:2, :2].tolist()}]
    (found,) = ask(url, INPUTS, model="mixed", inputs=inputs)["data"]["predict"]["outputs"]
    np.testing.assert_array_equal(np.float32(found["rows"]), mixed.predict([words, X[:2, :2]], verbose=0))


def test_they_are_counted_and_told(app: Any, url: str) -> None:
    told: list[Any] = []
    app.hooks.append(told.append)
    ask(url, PREDICT, rows=X.tolist())
    app.hooks.clear()
    assert [(each.model, each.version, len(each.outputs["y"])) for each in told] == [("one", "2", 4)]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"rows": [[1, 2, 3]] * 101}, "100 rows, got 101"),
        ({"rows": []}, "got 0"),
        ({"rows": [[1, 2, 3], [1, 2]]}, "as many values"),
        ({"rows": [[1, 2]]}, "[rows, 3]"),
        ({"rows": [[1, 2, None]]}, "finite"),
        ({"rows": [[1, 2, 1e300]]}, "finite"),
        ({"rows": [[1, 2, "3"]]}, "non numeric"),
        ({"rows": None}, "rows or inputs"),
    ],
)
def test_odd_rows(url: str, variables: Any, words: str) -> None:
    assert words in error(url, PREDICT, **variables)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([], "missing"),
        ([{"name": "x"}], "with numbers or with texts"),
        ([{"name": "x", "numbers": [[1, 2, 3]], "texts": [["a"]]}], "with numbers or with texts"),
        ([{"name": "x", "texts": [["a", "b", "c"]]}], "BYTES"),
        ([{"name": "z", "numbers": [[1, 2, 3]]}], "'z'"),
        ([{"name": "x", "numbers": [[1, 2, 3]]}] * 2, "once"),
    ],
)
def test_odd_inputs(url: str, inputs: Any, words: str) -> None:
    assert words in error(url, INPUTS, model="one", inputs=inputs)


def test_a_query_is_bounded(url: str, one: Any) -> None:
    many = " ".join(f"a{k}: models{{name}}" for k in range(ours.ALIASES + 1))
    assert "aliases" in error(url, f"{{{many}}}")
    many = "name " * ours.TOKENS
    assert "tokens" in error(url, f"{{models{{{many}}}}}")
    again = "{__schema{types{fields{type{fields{type{fields{type{fields{name}}}}}}}}}}"
    assert "depth" in error(url, again)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours, "DEPTH", 1)
        shallow = serve.app(one, routes=ours.routes(), max_body=1000)
        with served(shallow) as other:
            assert "depth" in error(f"{other}/graphql", "{models{aliases{name}}}")
            assert ask(f"{other}/graphql", "{models{name}}")["data"]
            assert send(f"{other}/graphql", b" " * 1001)[0] == 413


@pytest.mark.parametrize(
    "query",
    [
        "",
        "{",
        "{nothing}",
        "{models}",
        "mutation{a}",
        "subscription{a}",
        "query($a: B){a}",
        "{" * 1999,
        "{a(b: " + "[" * 1900,
        '{model(name: "\\ud800"){name}}',
    ],
)
def test_odd_queries(url: str, query: str) -> None:
    status, text = send(url, json.dumps({"query": query}).encode())
    assert status in (200, 400)
    assert status == 400 or json.loads(text)["errors"]
    assert b"Traceback" not in text


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (None, "application/json"),
        (b"query={models{name}}", "application/x-www-form-urlencoded"),
        (b"[]", "application/json"),
        (b"\xff", "application/json"),
        (b"[" * 10**5, "application/json"),
        (b"{}", "application/json"),
        (b'{"query": 5}', "application/json"),
        (b'{"query": "{models{name}}", "variables": 5}', "application/json"),
    ],
)
def test_only_queries_that_are_posted_as_json(url: str, data: bytes | None, kind: str) -> None:
    status, text = send(url, data, kind)
    assert 400 <= status < 500, text
    assert b"Traceback" not in text


def test_introspection(url: str) -> None:
    from graphql import build_client_schema, get_introspection_query

    schema = build_client_schema(ask(url, get_introspection_query())["data"])
    assert {"models", "model", "predict"} == {*schema.query_type.fields}
    assert all(field.description for field in schema.query_type.fields.values())


def test_what_fails_inside_says_nothing(one: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = serve.app(one, routes=ours.routes())

    def fails(*_: Any) -> Any:
        raise KeyError("a secret of row 3")

    app.models.get("one").rows_of = fails
    with served(app) as url, caplog.at_level(logging.ERROR):
        assert error(f"{url}/graphql", PREDICT, rows=X.tolist()) == "the server failed; its log says more"
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text
