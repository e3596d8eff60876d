"""The small systems that each step solves: symmetric, of as many unknowns as there are coefficients."""

from __future__ import annotations

import numpy as np

from fastnn.typing import Array, DoubleArray


def solved(matrix: DoubleArray, right: DoubleArray) -> DoubleArray:
    """The solution of a symmetric system, positive semi-definite but for rounding; of many the one of least squares."""
    size = np.sqrt(np.maximum(matrix.diagonal(), 0))
    size = np.where(size > 0, 1 / np.where(size > 0, size, 1), 0.0)
    scaled = matrix * np.outer(size, size)
    turned = (right.T * size).T
    try:
        factor = np.linalg.cholesky(scaled)
        # What is lost to rounding shows in the smallest pivot.
        if factor.diagonal().min(initial=1) > 1e-7:
            half = np.linalg.solve(factor, turned)
            return np.asarray((np.linalg.solve(factor.T, half).T * size).T)
    except np.linalg.LinAlgError:
        pass
    values, vectors = np.linalg.eigh(scaled)
    inverse = np.where(values > 1e-13 * values.max(initial=0), 1 / np.where(values > 0, values, 1), 0.0)
    found: DoubleArray = vectors @ (inverse * (vectors.T @ turned).T).T
    return (found.T * size).T


def inverse_of(matrix: DoubleArray) -> DoubleArray:
    """The inverse of such a matrix, symmetric."""
    found = solved(matrix, np.eye(len(matrix)))
    return (found + found.T) / 2


def signed(matrix: DoubleArray, right: DoubleArray, signs: Array) -> DoubleArray:
    """The least of b'Hb / 2 - g'b where b_j has the sign signs_j, or is 0; any where signs_j is 0.

    Exact, by active sets. Source: Lawson and Hanson 1974, with free variables.
    """
    turn = np.where(signs < 0, -1.0, 1.0)
    matrix, right = matrix * np.outer(turn, turn), right * turn
    bound = signs != 0
    b = np.zeros(len(right))
    active = ~bound
    tolerance = 1e-12 * np.abs(right).max(initial=1e-300)
    for _ in range(10 * len(right) + 10):
        if active.any():
            while True:
                trial = np.zeros_like(b)
                trial[active] = solved(matrix[np.ix_(active, active)], right[active])
                out = active & bound & (trial <= 0)
                if not out.any():
                    b = trial
                    break
                share = b[out] / np.where(b[out] > trial[out], b[out] - trial[out], 1)
                b = b + share.min() * (trial - b)
                stopped = active & bound & (b <= 1e-15)
                if not stopped.any():
                    stopped = out & (b == b[out].min())
                b[stopped] = 0
                active &= ~stopped
        slope = right - matrix @ b
        slope[active] = 0
        slope[~bound] = 0
        # As the rows of H are scaled, so is what counts as 0.
        best = int(np.argmax(slope))
        if not slope[best] > tolerance:
            break
        active[best] = True
    return b * turn


def shrunk(
    gram: DoubleArray, right: DoubleArray, penalty: DoubleArray, signs: Array, tol: float, most: int
) -> tuple[DoubleArray, int, float]:
    """The least of b'Gb / 2 - c'b + sum(penalty |b|), with signs as ``signed``: (b, sweeps, gap).

    Coordinate descent on the products of columns: the rows are not looked at again. Sweeps go over all columns, then
    over those that are not 0; where their signs are right, the system that they meet is solved. gap: how far the
    slopes are from what a least has, relative. Source: Friedman, Hastie and Tibshirani 2010.
    """
    b = np.zeros(len(right))
    slope = right.copy()  # c - G b
    diagonal = gram.diagonal()
    size = max(float(np.abs(right).max(initial=0)), 1e-300)
    gap = np.inf
    for sweep in range(1, most + 1):
        everything = sweep % 10 == 1 or sweep == most
        places = np.flatnonzero(diagonal > 0) if everything else np.flatnonzero(b)
        moved = 0.0
        for j in places.tolist():
            old = b[j]
            target = slope[j] + diagonal[j] * old
            new = np.sign(target) * max(abs(target) - penalty[j], 0.0) / diagonal[j]
            if signs[j] * new < 0:
                new = 0.0
            if new != old:
                slope -= gram[j] * (new - old)
                b[j] = new
                moved = max(moved, abs(new - old) * diagonal[j])
        if everything or moved <= tol * size:
            b = _finished(gram, right, penalty, b)
            slope = right - gram @ b
            gap = _unmet(b, slope, penalty, signs) / size
            if gap <= tol:
                return b, sweep, gap
    return b, most, gap


def _finished(gram: DoubleArray, right: DoubleArray, penalty: DoubleArray, b: DoubleArray) -> DoubleArray:
    """The least among coefficients of these signs, where it is within them: sweeps alone come near it slowly."""
    active = b != 0
    trial = np.zeros_like(b)
    trial[active] = solved(gram[np.ix_(active, active)], right[active] - penalty[active] * np.sign(b[active]))
    return trial if (np.sign(trial) == np.sign(b)).all() else b


def _unmet(b: DoubleArray, slope: DoubleArray, penalty: DoubleArray, signs: Array) -> float:
    """By how much the conditions of a least are not met."""
    held = np.where(b != 0, np.abs(slope - penalty * np.sign(b)), 0.0)
    # At 0 a slope may be as large as the penalty, and larger where the sign forbids to follow it.
    loose = np.maximum(np.abs(slope) - penalty, 0.0)
    loose = np.where((b == 0) & (signs * slope >= 0), loose, 0.0)
    return float(np.maximum(held, loose).max(initial=0))
