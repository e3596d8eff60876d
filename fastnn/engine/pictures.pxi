"""Ops that see a row as a picture: turned, moved and zoomed, by chance or to another size; and its contrast.

A pixel of what is given lies at a place in what is read, which an affine map says: column u = a0 x + a1 y + a2 and line
v = b0 x + b1 y + b2. Its number is that of the nearest pixel, or the mean of the four around the place. What chance
decides of a row is drawn by its place in the batch.
"""

cdef enum Drawn:
    # What is drawn of an affine map.
    NOTHING
    FLIP                                # with probability 1/2 mirrored: low[0] lines, low[1] columns
    ROTATION                            # an angle, as a part of a whole turn
    ZOOM                                # of lines and columns; where `shared` one for both
    TRANSLATION                         # as a part of height and width
    CROP                                # whole lines and columns from the first one on


cdef enum Fill:
    # What lies beyond a picture.
    CONSTANT
    NEAREST                             # a a a | a b c | c c c
    REFLECT                             # c b a | a b c | c b a
    WRAP                                # a b c | a b c | a b c


KINDS = {"none": NOTHING, "flip": FLIP, "rotation": ROTATION, "zoom": ZOOM, "translation": TRANSLATION, "crop": CROP}
FILLS = {"constant": CONSTANT, "nearest": NEAREST, "reflect": REFLECT, "wrap": WRAP}


cdef struct Affine:
    double a0
    double a1
    double a2
    double b0
    double b1
    double b2


cdef struct Taps:
    # The pixels that one is made of, -1 for what lies beyond the picture and has a number of its own.
    Py_ssize_t pixels[4]
    float weights[4]
    int count


cdef inline Py_ssize_t inside(Py_ssize_t i, Py_ssize_t n, Fill fill) noexcept nogil:
    """The line or column that stands for number i of n; -1 for none."""
    if 0 <= i < n:
        return i
    if fill == CONSTANT:
        return -1
    if fill == NEAREST:
        return 0 if i < 0 else n - 1
    if fill == WRAP:
        i = i % n
        return i + n if i < 0 else i
    i = i % (2 * n)
    if i < 0:
        i += 2 * n
    return i if i < n else 2 * n - 1 - i


cdef int take_doubles(values, int count, double* out) except -1:
    cdef int k
    if len(values) != count:
        raise ValueError(f"{count} numbers are needed here, got {values}")
    for k in range(count):
        out[k] = values[k]
    return 0


cdef class PictureOp(DrawingOp):
    """A picture from a picture. shape, given: (height, width, channels) of what is read and what it gives.

    channels_first: how a row lies. base: the map a0 .. b2 that is there without chance. drawn, low, high: what chance
    adds to it, evenly from low to high, in training alone; but a crop is in the middle otherwise. window: first and
    last line, first and last column that places are kept within; None for what `fill` says.
    """

    cdef Py_ssize_t height, width, channels, out_height, out_width
    cdef Py_ssize_t pixel, channel, out_pixel, out_channel      # from one to the next, in what is read and given
    cdef Affine base
    cdef Drawn drawn
    cdef double low[2]
    cdef double high[2]
    cdef bint shared
    cdef bint nearest
    cdef Fill fill
    cdef float value
    cdef bint clamps
    cdef double window[4]

    def __init__(self, shape, given, base, str drawn="none", low=(0, 0), high=(0, 0), bint shared=False,
                 bint nearest=False, str fill="constant", float value=0, window=None, bint channels_first=False,
                 seed=None):
        cdef Py_ssize_t a[3]
        cdef Py_ssize_t b[3]
        take(shape, 0, a)
        take(given, 0, b)
        self.height, self.width, self.channels, self.out_height, self.out_width = a[0], a[1], a[2], b[0], b[1]
        if product(a) * product(b) < 1 or a[2] != b[2]:
            raise ValueError(f"pictures of {shape} to {given} pixels cannot be")
        self.shape([(1, self.height * self.width * self.channels)], 1, self.out_height * self.out_width * self.channels)
        self.pixel = self.out_pixel = 1 if channels_first else self.channels
        self.channel = self.height * self.width if channels_first else 1
        self.out_channel = self.out_height * self.out_width if channels_first else 1
        take_doubles(base, 6, &self.base.a0)
        self.drawn, self.fill = KINDS[drawn], FILLS[fill]
        take_doubles(low, 2, self.low)
        take_doubles(high, 2, self.high)
        self.shared, self.nearest, self.value, self.clamps = shared, nearest, value, window is not None
        if self.clamps:
            take_doubles(window, 4, self.window)
        if self.drawn != NOTHING:
            self.seeds(seed)

    cdef double work_of_row(self) noexcept:
        return 16.0 * self.units

    cdef Affine map_of(self, const Step* step, Py_ssize_t row) noexcept nogil:
        """The map of a row in this step."""
        cdef Affine found = self.base
        cdef double y = 0.5, x = 0.5, cy = 0.5 * (self.height - 1), cx = 0.5 * (self.width - 1), angle
        if self.drawn == NOTHING:
            return found
        if in_training(step, self.training):
            self.draw(step, row, &y, &x)
        elif self.drawn != CROP:
            return found
        if self.drawn == FLIP:
            if y <= 0.5 and self.low[0] > 0:
                found.b1, found.b2 = -1, self.height - 1
            if y <= 0.5 and self.low[1] > 0:
                found.a0, found.a2 = -1, self.width - 1
            return found
        if self.shared:
            x = y
        y = self.low[0] + y * (self.high[0] - self.low[0])
        x = self.low[1] + x * (self.high[1] - self.low[1])
        if self.drawn == ROTATION:
            angle = y * TURN
            found.a0 = found.b1 = cos(angle)
            found.b0 = sin(angle)
            found.a1 = -found.b0
            found.a2, found.b2 = cx - cx * found.a0 - cy * found.a1, cy - cx * found.b0 - cy * found.b1
        elif self.drawn == ZOOM:
            found.a0, found.b1 = 1 + x, 1 + y
            found.a2, found.b2 = -cx * x, -cy * y
        elif self.drawn == TRANSLATION:
            found.a2, found.b2 = -x * self.width, -y * self.height
        else:
            found.a2, found.b2 = floor(x), floor(y)
        return found

    cdef void taps(self, const Affine* map, Py_ssize_t y, Py_ssize_t x, Taps* found) noexcept nogil:
        """The pixels that pixel (y, x) of what is given is made of."""
        cdef double u = map.a0 * x + map.a1 * y + map.a2, v = map.b0 * x + map.b1 * y + map.b2
        cdef Py_ssize_t top, left, line, k
        cdef Py_ssize_t lines[2]
        cdef Py_ssize_t columns[2]
        cdef float down, right
        if self.clamps:
            v = min(max(v, self.window[0]), self.window[1])
            u = min(max(u, self.window[2]), self.window[3])
        if self.nearest:
            line = inside(<Py_ssize_t>(v + (0.5 if v >= 0 else -0.5)), self.height, self.fill)
            left = inside(<Py_ssize_t>(u + (0.5 if u >= 0 else -0.5)), self.width, self.fill)
            found.count, found.weights[0] = 1, 1
            found.pixels[0] = -1 if line < 0 or left < 0 else line * self.width + left
            return
        top, left = <Py_ssize_t>v, <Py_ssize_t>u
        top -= v < top                  # a floor, without a call of it
        left -= u < left
        down, right = <float>(v - top), <float>(u - left)
        found.count = 4
        found.weights[0], found.weights[1] = (1 - down) * (1 - right), (1 - down) * right
        found.weights[2], found.weights[3] = down * (1 - right), down * right
        if 0 <= top < self.height - 1 and 0 <= left < self.width - 1:
            found.pixels[0] = top * self.width + left
            found.pixels[1] = found.pixels[0] + 1
            found.pixels[2] = found.pixels[0] + self.width
            found.pixels[3] = found.pixels[2] + 1
            return
        for k in range(2):
            lines[k], columns[k] = inside(top + k, self.height, self.fill), inside(left + k, self.width, self.fill)
        for k in range(4):
            line = lines[k >> 1]
            found.pixels[k] = -1 if line < 0 or columns[k & 1] < 0 else line * self.width + columns[k & 1]

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, y, x, c, k
        cdef Affine map
        cdef Taps taps
        cdef const float* given
        cdef float* a
        cdef float total
        for row in range(r0, r1):
            map, given, a = self.map_of(step, row), self.reads.rows[row], self.a + row * self.units
            if not self.clamps and self.units == self.inputs and is_identity(&map):
                memcpy(a, given, self.units * sizeof(float))
                continue
            for y in range(self.out_height):
                for x in range(self.out_width):
                    self.taps(&map, y, x, &taps)
                    for c in range(self.channels):
                        total = 0
                        for k in range(taps.count):
                            total += taps.weights[k] * (
                                given[taps.pixels[k] * self.pixel + c * self.channel] if taps.pixels[k] >= 0
                                else self.value)
                        a[c * self.out_channel] = total
                    a += self.out_pixel

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, y, x, c, k
        cdef Affine map
        cdef Taps taps
        cdef float* to
        cdef const float* d
        if self.reads.d == NULL:
            return
        memset(self.reads.d + r0 * self.inputs, 0, (r1 - r0) * self.inputs * sizeof(float))
        for row in range(r0, r1):
            map, to, d = self.map_of(step, row), self.reads.d + row * self.inputs, self.d + row * self.units
            for y in range(self.out_height):
                for x in range(self.out_width):
                    self.taps(&map, y, x, &taps)
                    for k in range(taps.count):
                        if taps.pixels[k] >= 0:
                            for c in range(self.channels):
                                to[taps.pixels[k] * self.pixel + c * self.channel] += taps.weights[k] * d[
                                    c * self.out_channel]
                    d += self.out_pixel


cdef inline bint is_identity(const Affine* map) noexcept nogil:
    return map.a0 == 1 and map.a1 == 0 and map.a2 == 0 and map.b0 == 0 and map.b1 == 1 and map.b2 == 0


cdef class ContrastOp(DrawingOp):
    """In training a = factor (x - mean) + mean + shift, kept from `least` to `most`; a = x otherwise.

    The mean is that of a channel of the picture; factor and shift are drawn for a row: low, high of each.
    """

    cdef Py_ssize_t pixels, channels, pixel, channel
    cdef double low[2]
    cdef double high[2]
    cdef float least, most

    def __init__(self, Py_ssize_t pixels, Py_ssize_t channels, low, high, float least, float most,
                 bint channels_first=False, seed=None):
        cdef int k
        self.shape([(1, pixels * channels)], 1, pixels * channels)
        self.pixels, self.channels, self.least, self.most = pixels, channels, least, most
        self.pixel = 1 if channels_first else channels
        self.channel = pixels if channels_first else 1
        take_doubles(low, 2, self.low)
        take_doubles(high, 2, self.high)
        self.seeds(seed)

    cdef void factors(self, const Step* step, Py_ssize_t row, float* factor, float* shift) noexcept nogil:
        cdef double first, second
        self.draw(step, row, &first, &second)
        factor[0] = <float>(self.low[0] + first * (self.high[0] - self.low[0]))
        shift[0] = <float>(self.low[1] + second * (self.high[1] - self.low[1]))

    cdef float mean_of(self, const float* x) noexcept nogil:
        cdef double total = 0
        cdef Py_ssize_t i
        for i in range(self.pixels):
            total += x[i * self.pixel]
        return <float>(total / self.pixels)

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, c, i, n
        cdef float factor, shift, mean, number
        cdef const float* x
        cdef float* a
        for row in range(r0, r1):
            if not in_training(step, self.training):
                memcpy(self.a + row * self.units, self.reads.rows[row], self.units * sizeof(float))
                continue
            self.factors(step, row, &factor, &shift)
            for c in range(self.channels):
                x, a = self.reads.rows[row] + c * self.channel, self.a + row * self.units + c * self.channel
                mean = self.mean_of(x)
                for n in range(self.pixels):
                    i = n * self.pixel
                    number = (x[i] - mean) * factor + mean + shift
                    number = self.least if number < self.least else number      # NaN stays
                    a[i] = self.most if number > self.most else number

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, c, i, n
        cdef float factor, shift, mean, number, rest
        cdef const float* x
        cdef const float* d
        cdef float* to
        if self.reads.d == NULL:
            return
        if not in_training(step, self.training):
            memcpy(self.reads.d + r0 * self.units, self.d + r0 * self.units, (r1 - r0) * self.units * sizeof(float))
            return
        for row in range(r0, r1):
            self.factors(step, row, &factor, &shift)
            for c in range(self.channels):
                i = row * self.units + c * self.channel
                x, d, to = self.reads.rows[row] + c * self.channel, self.d + i, self.reads.d + i
                mean = self.mean_of(x)
                for n in range(self.pixels):
                    i = n * self.pixel
                    number = (x[i] - mean) * factor + mean + shift
                    to[i] = 0 if number < self.least or number > self.most else d[i]
                rest = (1 - factor) * self.mean_of(to)
                for n in range(self.pixels):
                    i = n * self.pixel
                    to[i] = factor * to[i] + rest
