"""The least of the check loss, by an interior point method that ends at a corner."""

from __future__ import annotations

import math

import numpy as np

from fastnn.linear.solvers import solved
from fastnn.typing import DoubleArray

_STEPS = 100


def check_loss(residual: DoubleArray, share: float, weight: DoubleArray | None = None) -> float:
    """The sum of share · r where r is above 0, and of (share - 1) · r where it is below."""
    losses = np.where(residual > 0, share * residual, (share - 1) * residual)
    return float(losses.sum() if weight is None else losses @ weight)


def least_absolute(z: DoubleArray, y: DoubleArray, share: float, above: DoubleArray, below: DoubleArray) -> DoubleArray:
    """The b with the least sum of check losses of y - z·b, and of rows that are known to be above or below z·b.

    z: (rows, columns), y: (rows,), both times the rows' weights. above, below: the sums of such rows, (columns,).

    A linear program in how far each row is taken for one above: a of 0 to 1 with z'a = (1 - share) Σz, of the largest
    y'a. Sources: Frisch and Newton as in Portnoy and Koenker 1997; Mehrotra 1992.
    """
    size = float(np.abs(y).max(initial=0)) or 1.0
    goal = (1 - share) * (z.sum(axis=0) + above + below) - above
    cost = -y / size
    a = np.full(len(y), 1 - share)
    s = 1 - a
    dual = -solved(z.T @ z, z.T @ y) / size
    left = cost - z @ dual
    lift = max(1e-2, 0.1 * float(np.abs(left).mean())) if len(left) else 1.0
    zs, w = np.maximum(left, 0) + lift, np.maximum(-left, 0) + lift
    for _ in range(_STEPS):
        unmet = goal - z.T @ a
        loose = cost - z @ dual - zs + w
        gap = float(a @ zs + s @ w)
        if gap <= 1e-13 * (1 + abs(float(cost @ a))) * len(y) ** 0.5 and np.abs(loose).max(initial=0) < 1e-9:
            break
        mean = gap / max(1, 2 * len(y))
        inverse = 1 / (zs / a + w / s)
        system = z.T @ (z * inverse[:, None])

        def step(centre_a: DoubleArray, centre_s: DoubleArray) -> tuple[DoubleArray, ...]:
            part = centre_a / a - centre_s / s - loose  # noqa: B023 - called at once
            move = solved(system, unmet - z.T @ (inverse * part))  # noqa: B023
            da = inverse * (z @ move + part)  # noqa: B023
            return move, da, -da, (centre_a - zs * da) / a, (centre_s + w * da) / s  # noqa: B023

        _, da, ds, dz, dw = step(-a * zs, -s * w)
        first = min(_room(a, da), _room(s, ds)), min(_room(zs, dz), _room(w, dw))
        ahead = float((a + first[0] * da) @ (zs + first[1] * dz) + (s + first[0] * ds) @ (w + first[1] * dw))
        aim = mean * min(1.0, max(ahead / gap, 0.0)) ** 3
        move, da, ds, dz, dw = step(aim - a * zs - da * dz, aim - s * w - ds * dw)
        along, across = min(_room(a, da), _room(s, ds)), min(_room(zs, dz), _room(w, dw))
        if not (math.isfinite(along) and np.isfinite(move).all()) or max(along, across) < 1e-12:
            break
        a, s = a + along * da, s + along * ds
        dual, zs, w = dual + across * move, zs + across * dz, w + across * dw
    return _corner(z, y, share, -dual * size, above, below)


def _room(value: DoubleArray, step: DoubleArray) -> float:
    """How much of a step keeps numbers above 0."""
    down = step < 0
    if not down.any():
        return 1.0
    return min(1.0, 0.9995 * float((value[down] / -step[down]).min()))


def _corner(
    z: DoubleArray, y: DoubleArray, share: float, b: DoubleArray, above: DoubleArray, below: DoubleArray
) -> DoubleArray:
    """The corner next to b, where as many rows as there are columns lie on the fit, if it is no worse."""

    def loss(at: DoubleArray) -> float:
        return check_loss(y - z @ at, share) - float((share * above - (1 - share) * below) @ at)

    width = z.shape[1]
    nearest = np.argsort(np.abs(y - z @ b), kind="stable")[: 10 * width + 10]
    basis: list[int] = []
    held = np.zeros((0, width))
    for row in nearest.tolist():
        rest = z[row] - held.T @ (held @ z[row])
        rest -= held.T @ (held @ rest)
        length = float(np.linalg.norm(rest))
        if length > 1e-7 * max(float(np.linalg.norm(z[row])), 1e-300):
            basis.append(row)
            held = np.vstack([held, rest / length])
            if len(basis) == width:
                break
    if len(basis) < width:
        return b
    corner = np.asarray(np.linalg.solve(z[basis], y[basis]), np.float64)
    return corner if loss(corner) <= loss(b) + 1e-9 * abs(loss(b)) else b
