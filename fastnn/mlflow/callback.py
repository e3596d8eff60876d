"""A fit, as a run of MLflow."""

from __future__ import annotations

from typing import Any

from fastnn import optimizers
from fastnn._checks import check_flag, check_text
from fastnn._output import warn
from fastnn.callbacks.base import Logs, TrainerCallback
from fastnn.callbacks.monitors import number_of

from .flavor import log_model, mlflow_of

__all__ = ["MlflowCallback"]

LONGEST = 500  # characters of a parameter, which any version takes


class MlflowCallback(TrainerCallback):
    """Logs a fit in MLflow: its parameters, each epoch's loss and metrics, and at the end, if asked, the model.

    In the active run; where there is none, in one of the fit's own, which it ends: FINISHED, FAILED where an error ends
    the fit, KILLED by Ctrl-C. Parameters are epochs, batch_size, steps, parameters, loss, optimizer and what that was
    made with; one that the run has is left as it is. learning_rate is that of an epoch's last step. log_model: log the
    model as ``fastnn.mlflow.log_model`` does, unless an error ended the fit. registered_model_name: also make it the
    next version of that name. run_id: of the run of MLflow's, once the fit has begun.

    What MLflow refuses while the fit runs ends no fit: a warning says so. ImportError where MLflow or pandas is
    missing.
    """

    def __init__(self, log_model: bool = False, registered_model_name: str | None = None) -> None:
        self.log_model = log_model
        check_flag(self, "log_model")
        if registered_model_name is not None:
            check_text("MlflowCallback: registered_model_name", registered_model_name)
            self.log_model = True
        self.registered_model_name = registered_model_name
        self.run_id: str | None = None
        self._mlflow = mlflow_of("MlflowCallback")
        self._rate: float | None = None
        self._own = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._own = self._mlflow.active_run() is None
        run = self._mlflow.start_run() if self._own else self._mlflow.active_run()
        self.run_id = run.info.run_id
        told = {name: self.params.get(name) for name in ("epochs", "batch_size", "steps")}
        told |= {"parameters": self.model.count_params(), **_compiled(self.model)}
        known = self._client().get_run(self.run_id).data.params
        new = {name: str(each)[:LONGEST] for name, each in told.items() if each is not None and name not in known}
        self._try("log_params", lambda: self._mlflow.log_params(new, run_id=self.run_id))

    def measured(self, rate: float, seconds: float) -> None:
        self._rate = rate

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        found = {name: number_of(each) for name, each in {"learning_rate": self._rate, **(logs or {})}.items()}
        numbers = {name: each for name, each in found.items() if each is not None}
        self._try("log_metrics", lambda: self._mlflow.log_metrics(numbers, step=epoch, run_id=self.run_id))

    def on_train_end(self, logs: Logs | None = None) -> None:
        try:
            if self.log_model:
                log_model(self.model, run_id=self.run_id, registered_model_name=self.registered_model_name)
        except BaseException:
            self._end("FAILED")
            raise
        self._end("FINISHED")

    def on_train_interrupt(self, error: BaseException, logs: Logs | None = None) -> None:
        self._end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")

    def _end(self, status: str) -> None:
        if self._own:
            self._try("end_run", lambda: self._mlflow.end_run(status))

    def _client(self) -> Any:
        return self._mlflow.MlflowClient()

    def _try(self, what: str, call: Any) -> None:
        try:
            call()
        except Exception as error:  # of MLflow, of its store, of the way there
            warn(f"MlflowCallback: {what} failed: {error}")


def _compiled(model: Any) -> dict[str, Any]:
    """What a model was compiled with, as parameters."""
    optimizer = model.optimizer
    values = {name: getattr(optimizer, name, None) for name in optimizers.serialize(optimizer)["config"]}
    made = {f"optimizer_{name}": each for name, each in values.items() if name != "name" and each not in (None, False)}
    return {"loss": getattr(model.loss, "name", model.loss), "optimizer": type(optimizer).__name__, **made}
