"""Another engine as a layer: a quantum circuit on PennyLane's simulator, trained with the layers around it.

Any engine that gives values and slopes fits in the same way: a measuring device, a solver, a model in another library.
Needs: pip install pennylane
"""

from dataclasses import dataclass

import numpy as np
import pennylane as qml

import fastnn
from fastnn.initializers import RandomUniform
from fastnn.layers import Dense, Input, Layer, Parameter
from fastnn.models import Sequential


@dataclass(frozen=True, eq=False)
class Circuit(Layer):
    """Qubits turned by x, then by weights and entangled, `depth` times; the mean of Z of each. (qubits,) -> (qubits,).

    Slopes are by the parameter-shift rule, which holds for the circuit itself and not for small steps alone: for a turn
    by theta, df/dtheta = (f(theta + pi/2) - f(theta - pi/2)) / 2. So a real device could take the simulator's place.
    """

    depth: int

    def output_shape(self, input_shape):
        return input_shape

    def parameters(self, input_shape):
        return (Parameter("angles", (self.depth, input_shape[0], 2), RandomUniform(-1, 1)),)

    def forward(self, x, weights, training):
        return self.measured(x, weights[0])

    def backward(self, x, a, d, weights):
        (angles,) = weights
        by_x = [self.slope(x, angles, "x", wire, d) for wire in range(x.shape[1])]
        by_angle = [self.slope(x, angles, "angles", place, d).sum() for place in np.ndindex(angles.shape)]
        return np.stack(by_x, axis=1), [np.reshape(by_angle, angles.shape)]

    def slope(self, x, angles, which, place, d):
        """For each row the sum of d times the slopes of what is measured, by one turn."""
        ends = []
        for shift in (np.pi / 2, -np.pi / 2):
            given = {"x": x.astype(float), "angles": angles.astype(float)}
            given[which][(..., place) if which == "x" else place] += shift
            ends.append(self.measured(**given))
        return ((ends[0] - ends[1]) / 2 * d).sum(axis=1)

    def measured(self, x, angles):
        """The means of Z, (rows, qubits): one run of the simulator for all rows."""
        wires = range(x.shape[1])

        @qml.qnode(qml.device("default.qubit", wires=len(wires)), interface=None, diff_method=None)
        def circuit():
            for wire in wires:
                qml.RY(x[:, wire], wires=wire)
            for layer in angles:
                for wire in wires:
                    qml.RY(layer[wire, 0], wires=wire)
                    qml.RZ(layer[wire, 1], wires=wire)
                for wire in wires:
                    qml.CNOT(wires=[wire, (wire + 1) % len(wires)])
            return [qml.expval(qml.PauliZ(wire)) for wire in wires]

        return np.stack(circuit(), axis=1)


fastnn.set_random_seed(0)
rng = np.random.default_rng(0)

# The slopes, beside differences of values.
layer, x, angles, d = Circuit(2), rng.normal(size=(4, 3)), rng.normal(size=(2, 3, 2)), rng.normal(size=(4, 3))
by_x, (by_angles,) = layer.backward(x, None, d, [angles])
worst = 0.0
for array, slopes in ((x, by_x), (angles, by_angles)):
    for place in np.ndindex(array.shape):
        ends = []
        for step in (1e-5, -1e-5):
            array[place] += step
            ends.append((layer.measured(x, angles) * d).sum())
            array[place] -= step
        worst = max(worst, abs((ends[0] - ends[1]) / 2e-5 - slopes[place]))
print(f"largest difference from finite differences {worst:.1e}")

# Two arcs that lie within each other.
turn = rng.uniform(0, np.pi, 240)
upper = np.arange(240) % 2
side = 2 * upper - 1
rows = np.stack([side * np.cos(turn) + 1 - upper, side * np.sin(turn) + (1 - upper) / 2], axis=1)
rows += rng.normal(0, 0.1, rows.shape)

model = Sequential([Input((2,)), Dense(3), Circuit(2), Dense(1, "sigmoid")])
model.compile(fastnn.optimizers.Adam(0.1), "binary_crossentropy", metrics=["accuracy"])
model.fit(rows[:160], upper[:160], batch_size=40, epochs=16, verbose=0)
print(f"accuracy {model.evaluate(rows[160:], upper[160:], verbose=0)[1]:.3f}")
