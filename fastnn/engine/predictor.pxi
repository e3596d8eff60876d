"""Predictions of a network without what a model looks at first."""


cdef class Predictor:
    cdef Network network
    cdef tuple shape                    # of a row of x, None for one axis
    cdef tuple gives                    # of a row of the output

    def __init__(self, Network network not None, tuple shape, tuple gives not None):
        self.network, self.shape, self.gives = network, shape, gives

    def predict(self, x, out=None):
        cdef Rows rows
        cdef Py_buffer view
        cdef Network network = self.network
        cdef bint fits
        if type(x) is not ndarray or not take_rows(&rows, x, network.inputs, network.all_ids, self.shape):
            given = self.shape or (network.inputs,)
            raise ValueError(f"x must be a C-contiguous float32 array of shape {('rows', *given)}, got {_said(x)}; "
                             "model.predict takes others")
        if network.left:
            raise RuntimeError("the model has other layers now; call its predict_function again")
        if out is None:
            out = empty((rows.count, self.gives[0]) if len(self.gives) == 1 else (rows.count, *self.gives), float32)
            network.predict_into(&rows, <float*>address(out, True), None, 0)
            return out
        fits = type(out) is ndarray and take(out, True, &view)
        if fits:
            fits = view.itemsize == sizeof(float) and view.ndim == 1 + len(self.gives) and view.shape[0] == rows.count \
                and view.len == rows.count * network.units * <Py_ssize_t>sizeof(float)
            PyBuffer_Release(&view)
        if not fits:
            raise ValueError(f"out must be a C-contiguous float32 array of shape {(rows.count, *self.gives)} that can "
                             f"be written, got {_said(out)}")
        network.predict_into(&rows, <float*>view.buf, None, 0)
        return out


def _said(given):
    return f"{given.dtype} {given.shape}" if type(given) is ndarray else shown(given)
