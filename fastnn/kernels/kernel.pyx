"""What a kernel is: C functions on buffers, under a name and the name of their signature.

The instruction-set modules make these objects with the `make_...` of their family; the engine takes a function out by
`float32_of`, which says what is wrong where a kernel of another family came. Python calls kernels by bindings.pyx.
"""

from importlib import import_module


cdef list doubles(values):
    """A kernel's own numbers as floats; TypeError where they are no sequence of numbers."""
    try:
        return [float(each) for each in values]
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        raise TypeError(f"a kernel's numbers must be a sequence of numbers, got {type(values).__name__}") from None


cdef class Numbers:
    """A unit's own numbers (a slope, a momentum) as the array of C doubles that its kernel reads."""

    def __cinit__(self, values=()):
        cdef int i
        given = doubles(values)
        if len(given) > MAX_NUMBERS:
            raise ValueError(f"a kernel takes at most {MAX_NUMBERS} numbers, got {len(given)}")
        for i in range(MAX_NUMBERS):
            self.values[i] = given[i] if i < len(given) else 0


cdef class Kernel:
    """A name, the name of its functions' signature, and their addresses. Only the instruction-set modules make them.

    Called, an activation, a loss, a metric's accumulator or a constraint works on arrays (fastnn.kernels.bindings).
    """

    def __init__(self):
        raise TypeError("a Kernel cannot be made from Python; take one from fastnn.kernels")

    def __repr__(self):
        return f"<Kernel {self.name}: {self.signature}>"

    def __call__(self, *args, **kwargs):
        binding = bindings.get(self.signature)
        if binding is None:
            raise TypeError(f"{self!r} has no binding for Python: the engine calls it")
        return binding(self, *args, **kwargs)

    def addresses(self, bint double=False):
        """The addresses of its functions for float32, or for float64; 0 where it has fewer."""
        cdef int i
        if double:
            _widen(self)
        return tuple([<size_t>(self.float64[i] if double else self.float32[i]) for i in range(FUNCTIONS)])

    @property
    def size_address(self):
        """The address of an optimizer's `slot_count`, of an accumulator's `state_size`, else 0."""
        return <size_t>self.size


bindings = {}                           # signature -> what calls such a kernel on arrays


cdef int _check(Kernel kernel, str signature) except -1:
    if kernel is None or kernel.signature != signature:
        raise TypeError(f"a kernel of signature {signature} is needed here, got {kernel!r}")
    return 0


cdef void* float32_of(Kernel kernel, str signature, int place=0) except NULL:
    """The float32 function of a kernel that must have that signature."""
    _check(kernel, signature)
    return kernel.float32[place]


cdef int _widen(Kernel kernel) except -1:
    """Note the float64 functions, of a kernel that has them."""
    cdef Kernel wide
    cdef int i
    if kernel.float64[0] == NULL:
        wide = import_module("fastnn.kernels").kernels_of("baseline")[kernel.name]
        for i in range(FUNCTIONS):
            kernel.float64[i] = wide.float64[i]
    return 0


cdef void* float64_of(Kernel kernel, str signature, int place=0) except NULL:
    """The same for float64: compiled for the baseline alone, whose modules are imported when one is asked for."""
    _check(kernel, signature)
    _widen(kernel)
    if kernel.float64[place] == NULL:
        raise TypeError(f"{kernel!r} works on float32 alone")
    return kernel.float64[place]


cdef Kernel named(dict made, const char* name, const char* signature, int kind, void* first, void* first64):
    cdef Kernel kernel = Kernel.__new__(Kernel)
    kernel.name, kernel.signature, kernel.variant = name.decode(), signature.decode(), kind
    kernel.float32[FORWARD], kernel.float64[FORWARD] = first, first64
    made[kernel.name] = kernel
    return kernel


cdef int make(dict made, const char* name, const char* signature, int kind, void* function, void* function64,
              void* size) except -1:
    cdef Kernel kernel = named(made, name, signature, kind, function, function64)
    kernel.size = size
    kernel.labels, kernel.pairs, kernel.whole = (kind & LABELS) != 0, (kind & PAIRS) != 0, (kind & WHOLE) != 0
    return 0


cdef int make_several(dict made, const char* name, const char* signature, int variant, void* first, void* first64,
                      void* second, void* second64, void* third, void* third64) except -1:
    cdef Kernel kernel = named(made, name, signature, variant, first, first64)
    kernel.float32[1], kernel.float32[2], kernel.float64[1], kernel.float64[2] = second, third, second64, third64
    return 0
