"""One contender in a process of its own: `python -m benchmarks.rivals.worker NAME` speaks JSON lines with `peers`.

    {"load": case}   builds it, trains once on the rows in order (or predicts once), then once for warming up:
                     {"check": loss or distance from NumPy's outputs, "warm_up": seconds, "libraries": {name: version}}
    {"run": true}    one timed run: {"seconds": of one fit or one prediction, "loss": of the last epoch, or null}

A case that the library cannot do is answered by {"unable": why}, an error by {"failed": what}.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any, TextIO

from benchmarks.cases import CASES, Fit, Predict, Side, distance, timed
from benchmarks.rivals import RIVALS, Rival, Unable


class Worker:
    def __init__(self, rival: Rival):
        self.rival = rival
        self.module = import_module(f"benchmarks.rivals.{rival.module}")
        self.case: Fit | Predict = CASES[0]
        self.side = Side(lambda: None, lambda: None)

    def load(self, name: str) -> dict[str, Any]:
        self.side = Side(lambda: None, lambda: None)  # frees what the case before it needed
        (self.case,) = (case for case in CASES if case.name == name)
        check = self.load_fit(self.case) if isinstance(self.case, Fit) else self.load_predict(self.case)
        start = time.perf_counter()
        timed(self.side)
        warm_up = time.perf_counter() - start
        versions = {name: import_module(name).__version__ for name in self.rival.libraries}
        return {"check": check, "warm_up": warm_up, "libraries": versions}

    def load_fit(self, case: Fit) -> float:
        if not hasattr(self.module, "fit"):
            raise Unable("it only predicts")
        trainer = checked = self.module.fit(case)
        if case.check != case:
            checked = self.module.fit(case.check)
        checked.reset()
        loss = float(checked.run(False))
        self.side = Side(trainer.reset, lambda: trainer.run(True))
        return loss

    def load_predict(self, case: Predict) -> float:
        if not hasattr(self.module, "predictor"):
            raise Unable("it only trains")
        x, _ = case.data(case.rows)
        predict: Callable[[], Any] = self.module.predictor(case, x)
        self.side = case.repeated(predict)
        return distance(predict(), case.careful().predict(x))

    def run(self) -> dict[str, Any]:
        seconds, result = timed(self.side)
        return {"seconds": seconds / self.case.calls, "loss": result if isinstance(self.case, Fit) else None}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.load(request["load"]) if "load" in request else self.run()
        except Unable as reason:
            return {"unable": str(reason)}
        except Exception as error:  # of whatever kind the library has: the race goes on without it
            traceback.print_exc()
            return {"failed": f"{type(error).__name__}: {error}"}


def private_stdout() -> TextIO:
    """The pipe to the parent; whatever a library prints goes to stderr from now on."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def main() -> None:
    pipe = private_stdout()
    worker = Worker(RIVALS[sys.argv[1]])
    for line in sys.stdin:
        print(json.dumps(worker.answer(json.loads(line))), file=pipe, flush=True)


if __name__ == "__main__":
    main()
