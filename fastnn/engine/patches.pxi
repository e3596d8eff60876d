"""What a kernel meets of a picture of three axes: a patch at each of its places, and where that lies."""


cdef Py_ssize_t LARGEST_PICTURE = 2**31          # numbers in a picture, in a kernel


cdef struct Patches:
    # What a kernel meets: at each of `given` places, segments of `depth` numbers, of each group of channels.
    Py_ssize_t size[3]                  # of the picture
    Py_ssize_t given[3]
    Py_ssize_t stride[3]
    Py_ssize_t channels
    Py_ssize_t filters
    Py_ssize_t groups
    Py_ssize_t segments
    Py_ssize_t depth
    Py_ssize_t* firsts                  # where each segment begins, behind where the patch does; of each group


cdef int take(values, Py_ssize_t least, Py_ssize_t* out) except -1:
    """Three whole numbers of at least `least`, one for each axis."""
    cdef int axis
    if len(values) != 3:
        raise ValueError(f"{values} cannot be sizes of three axes")
    for axis in range(3):
        out[axis] = values[axis]
        if not least <= out[axis] < LARGEST_PICTURE:
            raise ValueError(f"{values} cannot be sizes of three axes")
    return 0


cdef Py_ssize_t divisor(Py_ssize_t a, Py_ssize_t b) noexcept:
    """The greatest of both."""
    while b:
        a, b = b, a % b
    return a


cdef double product(const Py_ssize_t* sizes) noexcept nogil:
    return <double>sizes[0] * sizes[1] * sizes[2]


cdef int find_places(const Py_ssize_t* size, const Py_ssize_t* kernel, const Py_ssize_t* stride,
                     const Py_ssize_t* dilation, Py_ssize_t* given) except -1:
    """Places of a kernel along each axis of a picture."""
    cdef Py_ssize_t rest
    cdef int axis
    for axis in range(3):
        rest = size[axis] - 1 - (kernel[axis] - 1) * dilation[axis]
        if rest < 0:
            raise ValueError(f"a kernel of {kernel[axis]} has no place along an axis of {size[axis]}")
        given[axis] = rest // stride[axis] + 1
    return 0


cdef int find_segments(Patches* p, const Py_ssize_t* kernel, const Py_ssize_t* dilation) except -1:
    """Where the segments of a patch begin."""
    cdef Py_ssize_t group, z, y, x, k = 0, channels = p.channels // p.groups
    cdef Py_ssize_t pixels = kernel[2] if p.groups == 1 and dilation[2] == 1 else 1     # of a segment
    p.segments, p.depth = kernel[0] * kernel[1] * (kernel[2] // pixels), pixels * channels
    p.firsts = <Py_ssize_t*>calloc(p.groups * p.segments, sizeof(Py_ssize_t))
    if p.firsts == NULL:
        raise MemoryError("no memory for the places of a kernel")
    for group in range(p.groups):
        for z in range(kernel[0]):
            for y in range(kernel[1]):
                for x in range(kernel[2] // pixels):
                    p.firsts[k] = ((z * dilation[0] * p.size[1] + y * dilation[1]) * p.size[2] + x * dilation[2]) \
                        * p.channels + group * channels
                    k += 1
    return 0


cdef Py_ssize_t patches_of(const Patches* p, const float* const* rows, Py_ssize_t line, Py_ssize_t end,
                           const float** addresses) noexcept nogil:
    """Addresses of the patches from number `line` on, up to `end` or ADDRESSES of them; gives how many they are."""
    cdef Py_ssize_t n = min(end - line, <Py_ssize_t>ADDRESSES), i
    cdef Py_ssize_t x = line % p.given[2], y = line // p.given[2]
    cdef Py_ssize_t z = y // p.given[1], row = z // p.given[0]
    y, z = y % p.given[1], z % p.given[0]
    for i in range(n):
        addresses[i] = rows[row] + (
            (z * p.stride[0] * p.size[1] + y * p.stride[1]) * p.size[2] + x * p.stride[2]) * p.channels
        x += 1
        if x == p.given[2]:
            x, y = 0, y + 1
            if y == p.given[1]:
                y, z = 0, z + 1
                if z == p.given[0]:
                    z, row = 0, row + 1
    return n
