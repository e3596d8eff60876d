"""Tables of which only the rows step that a batch touches: which may, by the optimizer and by what is asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastnn import kernels

if TYPE_CHECKING:
    from fastnn.engine.description import Variable

ADVICE = "or leave sparse_updates out"


def with_sparse_steps(optimizer: Any, variables: list[Variable]) -> tuple[list[Variable], str]:
    """The variables, each with whether its rows step alone: where that was asked for, or gives what all rows would.

    And why there can be no step: it was asked for, and something needs all rows of the table; "" where nothing does.
    """
    plain = not (optimizer.full_batch or optimizer.slots or optimizer.clipnorm or optimizer.global_clipnorm)
    exact = plain and optimizer.kernel is kernels.sgd
    found, refusal = [], ""
    for variable in variables:
        sparse = variable.sparse
        if sparse is not None:
            reason = _obstacle(optimizer, variable)
            if sparse and reason:
                refusal = f"{variable.path}: sparse_updates does not go with {reason}, {ADVICE}"
            variable = variable._replace(sparse=not reason and (sparse or exact))
        found.append(variable)
    return found, refusal


def _obstacle(optimizer: Any, variable: Variable) -> str:
    """What needs all rows of a table in each step, and what to do; "" for nothing."""
    name = type(optimizer).__name__
    kernel = None if optimizer.full_batch else optimizer.kernel
    decay = optimizer.weight_decay if variable.decay is None else variable.decay
    cases = (
        (kernel is None or kernel is kernels.schedule_free_adamw or kernel.signature != "optimizer",
         f"{name}, whose step looks at more than a row; take Adam, Adagrad or SGD"),
        (any(optimizer.row_clipping), f"{name}, whose noise is for all rows; take another optimizer"),
        ((optimizer.gradient_accumulation_steps or 1) > 1,
         "gradient_accumulation_steps; give fit a larger batch_size"),
        (optimizer.use_ema, "use_ema, an average of all rows; set it to False"),
        (decay and variable.decays,
         "weight_decay, which shrinks all rows; call optimizer.exclude_from_weight_decay(var_names=['embeddings'])"),
        (variable.l1 or variable.l2 or variable.penalty or variable.python_penalty,
         "embeddings_regularizer, which has a slope in all rows; take that out"),
        (variable.constraint or variable.python_constraint,
         "embeddings_constraint, which all rows must meet; take that out"),
        (variable.mask is not None, "a mask of pruned weights; leave the table out of what is pruned"),
    )  # fmt: skip
    return next((reason for applies, reason in cases if applies), "")
