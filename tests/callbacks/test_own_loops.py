"""Callbacks that a loop of one's own calls, and what sends logs elsewhere."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fastnn.callbacks import Callback, CallbackList, History, LambdaCallback, ProgbarLogger, RemoteMonitor
from support.scripted import X, Y, model_of


def test_a_list_with_a_history_and_a_bar(capsys):
    model = model_of()
    called = CallbackList([], add_history=True, add_progbar=True, model=model, epochs=2, verbose=1, steps=3)
    assert [type(each) for each in called.callbacks] == [History, ProgbarLogger]
    called.on_train_begin()
    for epoch in range(2):
        called.on_epoch_begin(epoch)
        for batch in range(3):
            called.on_train_batch_begin(batch)
            called.on_train_batch_end(batch, {"loss": 3.0 - batch})
        called.on_epoch_end(epoch, {"loss": 0.5 + epoch})
    called.on_train_end()
    assert model.history.history == {"loss": [0.5, 1.5]}
    out = capsys.readouterr().out
    assert out.index("Epoch 1/2") < out.index("3/3") < out.index("loss: 0.5000") < out.index("Epoch 2/2")
    mine = History()
    assert CallbackList([mine], add_history=True, model=model).callbacks == [mine]
    assert model.history is mine
    called.append(extra := History())
    called.on_epoch_end(2, {"loss": 2.0})
    assert extra.history == {"loss": [2.0]}
    with pytest.raises(TypeError, match="add_history must be True or False"):
        CallbackList([], model)


@pytest.mark.parametrize("verbose", [0, 2])
def test_a_bar_in_a_fit_is_the_fits(verbose, capsys):
    model = model_of()
    model.fit(X, Y, verbose=verbose, epochs=2)
    alone = capsys.readouterr().out
    bar = ProgbarLogger()
    model.fit(X, Y, verbose=verbose, epochs=2, callbacks=[bar])
    model.evaluate(X, Y, verbose=0, callbacks=[bar])
    assert capsys.readouterr().out.count("\n") == alone.count("\n")
    assert bar.epochs == 1


def test_a_bar_of_an_evaluation(capsys):
    called = CallbackList(ProgbarLogger(), verbose=1, steps=None)
    called.on_test_begin()
    called.on_test_batch_end(0, {"loss": 1.0})
    called.on_test_batch_end(1, {"loss": 1.0})
    called.on_test_end({"loss": 0.25})
    assert "2/2" in capsys.readouterr().out
    called.on_predict_begin()
    called.on_predict_batch_end(0, {"outputs": 1})
    called.on_predict_end()
    assert "1/" in capsys.readouterr().out


def test_before_there_is_a_model():
    assert Callback().model is None
    assert Callback().params is None


def test_other_arguments_of_a_lambda_callback():
    callback = LambdaCallback(on_epoch_end=lambda epoch, logs: None, patience=3)
    assert callback.patience == 3
    with pytest.raises(TypeError, match="no hook 'on_epoch_ends'"):
        LambdaCallback(on_epoch_ends=lambda epoch, logs: None)


@pytest.fixture
def requests(monkeypatch):
    """A package of that name, which notes what it is to send."""

    class RequestException(Exception):
        pass

    fake = SimpleNamespace(sent=[], exceptions=SimpleNamespace(RequestException=RequestException))
    fake.post = lambda *given, **named: fake.sent.append((given, named))
    monkeypatch.setitem(sys.modules, "requests", fake)
    return fake


def test_logs_are_sent(requests):
    model = model_of()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[RemoteMonitor("http://here", headers={"a": "b"})])
    (url, form), named = requests.sent[1]
    assert (url, named) == ("http://here/publish/epoch/end/", {"headers": {"a": "b"}})
    assert json.loads(form["data"])["epoch"] == 1
    monitor = RemoteMonitor(send_as_json=True)
    monitor.on_epoch_end(0, {"loss": np.float32(0.5), "val": np.arange(1), "many": np.arange(2)})
    given, named = requests.sent[2]
    assert given == ("http://localhost:9000/publish/epoch/end/",)
    assert named == {"json": {"epoch": 0, "loss": 0.5, "val": 0, "many": [0, 1]}, "headers": None}


def test_a_server_that_does_not_answer(requests):
    def fail(*given, **named):
        raise requests.exceptions.RequestException("no route")

    requests.post = fail
    with pytest.warns(UserWarning, match="Could not reach RemoteMonitor root server at http://localhost:9000"):
        RemoteMonitor().on_epoch_end(0, {"loss": 1.0})


def test_without_requests(monkeypatch):
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(ImportError, match="RemoteMonitor needs requests: pip install requests"):
        RemoteMonitor().on_epoch_end(0)
    with pytest.raises(TypeError, match="RemoteMonitor: root must be a string"):
        RemoteMonitor(3)
    with pytest.raises(TypeError, match="RemoteMonitor: headers must be a dict"):
        RemoteMonitor(headers="a")
