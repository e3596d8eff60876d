"""Dense on rows of lines, against Dense on the lines as rows; how many rows make a block."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn
from fastnn import kernels
from fastnn.engine.description import Objective, Variable
from fastnn.engine.network import Network
from fastnn.engine.ops import DenseOp


def dense(lines: int, inputs: int, hidden: int, units: int) -> Network:
    """Two dense ops on rows of lines, with the same weights whatever the lines."""
    ops = [DenseOp(inputs, hidden, activation=kernels.tanh, lines=lines), DenseOp(hidden, units, lines=lines)]
    network = Network(ops, inputs=[inputs * lines])
    rng = np.random.default_rng(1)
    for op in ops:
        network.parameters[op.start : op.start + op.size] = rng.normal(size=op.size) / np.sqrt(op.inputs // lines)
    network.set_objectives([Objective(kernels.mean_squared_error, units, shape=(lines, units))])
    network.set_variables([Variable(op.start, op.size) for op in ops])
    network.set_optimizer(kernels.adam, (0.9, 0.999, 1e-7), [0.0, 0.0])
    return network


def data(rows: int, lines: int, inputs: int, units: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, lines * inputs)).astype(np.float32)
    return x, rng.normal(size=(rows, lines * units)).astype(np.float32)


@pytest.mark.parametrize("units", [1, 3, 17])
@pytest.mark.parametrize(("rows", "lines"), [(1, 1), (1, 5), (70, 37), (3, 600), (2, 1500)])
def test_lines_are_as_rows(rows: int, lines: int, units: int) -> None:
    """The same bits: a product's additions run along the lines in the order of the rows."""
    x, y = data(rows, lines, 9, units)
    by_line, by_row = dense(lines, 9, 6, units), dense(1, 9, 6, units)
    flat = x.reshape(-1, 9), y.reshape(-1, units)
    np.testing.assert_array_equal(by_line.predict(x).reshape(-1, units), by_row.predict(flat[0]))
    assert by_line.gradient(x, y) / rows == pytest.approx(by_row.gradient(*flat) / rows, rel=1e-6)
    # A row's slope is divided by the lines before or behind the sum, which may differ in the last bit.
    np.testing.assert_allclose(by_line.gradients, by_row.gradients, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(("hidden", "block_rows"), [(16, 16), (400, 4), (3000, 1)])
def test_bits_whatever_the_rows_of_a_block(hidden: int, block_rows: int) -> None:
    """Rows that are much work are shared out singly, so that a batch of 8 keeps four threads busy."""
    lines, inputs, units = 64, 24, 3
    x, y = data(21, lines, inputs, units)
    before, results = fastnn.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4):
            fastnn.set_num_threads(threads)
            network = dense(lines, inputs, hidden, units)
            assert network.block_rows == block_rows
            for _ in range(3):
                network.fit_epoch(x, y, None, None, 8, 0.01)
            results.append((network.parameters.tobytes(), network.evaluate(x, y, None), network.predict(x).tobytes()))
    finally:
        fastnn.set_num_threads(before)
    assert all(result == results[0] for result in results)


def test_nets_of_one_line_keep_their_blocks() -> None:
    assert dense(1, 2000, 2000, 10).block_rows == 16
