"""Attention, included by ops.pyx: for each query a mean of the values, weighted by the softmax of its scores.

A head is some numbers of each line. It is read where it lies, by the addresses of its lines in the row: no product has
its rows gathered. The weights of a row, (heads, queries, keys), are saved for the way back, before dropout.
"""


cdef enum:
    TOGETHER_CAUSAL = 32                # queries of which the last says what keys they all see; and keys, turned round


cdef struct Heads:
    # Where heads lie in a row: from a line to the next one's, from a head to the next one's, numbers of a head's line.
    Py_ssize_t line
    Py_ssize_t head
    Py_ssize_t width


cdef class AttentionOp(NoiseOp):
    """softmax(scale * q . kt) . v for each head, (queries, heads * value_width).

    sources: (lines, width) of q (queries, heads * width), k and v (keys, groups * width), then of masks. strides: for
    each mask what lies in it between two heads, two queries and two keys, 0 where they share it. What a mask has as 0,
    the query does not see; nor what comes after it, if causal, nor what is `window` lines away from it or more, if
    that is not 0. A query that sees nothing has weights of 0.

    numbers, in this order: heads; groups of k and v, each for as many heads; queries; keys; width; value_width; window;
    causal; apart: heads lie one behind the other, not side by side in a line; scored: in place of q and k comes one
    source, the scores; states: the weights follow what is given. Both are arrays of int64.
    """

    cdef Py_ssize_t heads
    cdef Py_ssize_t repeats             # heads of a group
    cdef Py_ssize_t queries
    cdef Py_ssize_t keys
    cdef Py_ssize_t table               # weights of a head
    cdef Heads q
    cdef Heads k
    cdef Heads v
    cdef Heads out
    cdef int of_v                       # which source v is, behind which are the masks
    cdef bint scored
    cdef bint states
    cdef bint causal
    cdef bint by_query                  # masks tell queries apart
    cdef bint by_head                   # and heads
    cdef Py_ssize_t window
    cdef double scale
    cdef object arrays
    cdef const int64_t* mask_strides    # three of each mask
    cdef const float* hidden            # as many -inf as there are keys
    cdef types.gemm32 matmul
    cdef types.gemm32 matmul_transposed_a
    cdef types.gemm32 matmul_transposed_b
    cdef types.activation_forward32 softmax
    cdef types.activation_backward32 softmax_slopes
    cdef types.vector32 add
    cdef types.vector32 multiply

    def __init__(self, numbers, sources, strides, double scale, double rate, seed):
        cdef const int64_t* n = <const int64_t*>address(numbers)
        cdef Py_ssize_t heads = n[0], groups = n[1], i
        for i in range(6):
            if not 0 < n[i] <= 2147483647:
                raise ValueError("attention has at least one head, group, query, key and number of both")
        self.arrays = numbers, strides, np.full(n[3], -np.inf, np.float32)
        self.mask_strides = <const int64_t*>address(strides) if strides.size else NULL
        self.hidden = <const float*>address(self.arrays[2])
        self.heads, self.repeats, self.queries, self.keys = heads, heads // groups, n[2], n[3]
        self.table, self.scale, self.window, self.causal = n[2] * n[3], scale, n[6], n[7]
        self.scored, self.states, self.of_v = n[9], n[10], 1 if n[9] else 2
        self.take_noise(kernels.dropout, rate, seed)
        self.random = rate > 0
        self.q = heads_of(n[4], heads, n[2], n[8])
        self.k = heads_of(n[4], groups, n[3], n[8])
        self.v = heads_of(n[5], groups, n[3], n[8])
        self.out = heads_of(n[5], heads, n[2], n[8])
        self.take_products()
        self.softmax = <types.activation_forward32>float32_of(kernels.softmax, "activation", FORWARD)
        self.softmax_slopes = <types.activation_backward32>float32_of(kernels.softmax, "activation", BACKWARD)
        self.add = <types.vector32>float32_of(kernels.add, "vector")
        self.multiply = <types.vector32>float32_of(kernels.scale, "vector")
        if n[10]:
            self.shape(sources, 1, heads * (n[2] * n[5] + self.table))
        else:
            self.shape(sources, n[2], heads * n[5])
        for i in range(self.read_count - 1 - self.of_v):
            self.by_head |= self.mask_strides[3 * i] != 0
            self.by_query |= self.mask_strides[3 * i] or self.mask_strides[3 * i + 1]

    cdef int take_products(self) except -1:
        self.matmul = <types.gemm32>self.product_kernel("gemm")
        self.matmul_transposed_a = <types.gemm32>self.product_kernel("gemm_transposed_a")
        self.matmul_transposed_b = <types.gemm32>self.product_kernel("gemm_transposed_b")
        return 0

    cdef Py_ssize_t saved(self) noexcept:
        return 0 if self.states else self.heads * self.table

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses, the workspace of a multiply, q times scale, two tables, and a line of queries."""
        return (ADDRESS_SPACE + self.workspace_size() + self.queries * self.heads * self.q.width + 2 * self.table
                + self.queries)

    cdef Py_ssize_t workspace_size(self) noexcept nogil:
        cdef Py_ssize_t most = max(max(self.q.width, self.v.width), max(self.queries, self.keys))
        return self.workspace_for(most, most)

    cdef double work_of_row(self) noexcept:
        return self.heads * self.table * (2.0 * (self.q.width + self.v.width) + UNIT_WORK)

    # What is where.

    cdef float* weights_of(self, Py_ssize_t row) noexcept nogil:
        if self.states:
            return self.a + row * self.units + self.queries * self.heads * self.out.width
        return self.z + row * self.heads * self.table

    cdef float* scaled_queries(self, const Step* step) noexcept nogil:
        return step.scratch + ADDRESS_SPACE + self.workspace_size()

    cdef float* table_of(self, const Step* step, int number) noexcept nogil:
        return self.scaled_queries(step) + self.queries * self.heads * self.q.width + number * self.table

    cdef const float* queries_of(self, const Step* step, Py_ssize_t row) noexcept nogil:
        """q of a row, times scale."""
        cdef Py_ssize_t n = self.queries * self.heads * self.q.width
        cdef float* q = self.scaled_queries(step)
        if self.scored or self.scale == 1:
            return self.reads[0].rows[row]
        memcpy(q, self.reads[0].rows[row], n * sizeof(float))
        self.multiply(q, NULL, n, self.scale)
        return q

    cdef bint drops(self, const Step* step) noexcept nogil:
        return self.random and in_training(step, self.training)

    cdef void drop(self, const Step* step, Py_ssize_t row, Py_ssize_t head, const float* x, float* to) noexcept nogil:
        self.noise(x, to, self.table, <uint32_t>((row * self.heads + head) * self.table), self.strength, self.key(step))

    # Products of a head, whose lines are `stride` numbers apart.

    cdef void scores_of(self, const Step* step, const float* a, Py_ssize_t a_stride, const float* b,
                        Py_ssize_t b_stride, float* table, Py_ssize_t k) noexcept nogil:
        """table = A.Bt; what comes after a query, if causal, is whatever it was."""
        self.product(step, self.matmul_transposed_b, a, a_stride, b, b_stride, table, self.keys, self.keys, k, False)

    cdef void means_of(self, const Step* step, const float* table, const float* b, Py_ssize_t b_stride, float* c,
                       Py_ssize_t c_stride, Py_ssize_t n) noexcept nogil:
        """C = table.B; what comes after a query, if causal, is left out."""
        self.product(step, self.matmul, table, self.keys, b, b_stride, c, c_stride, n, self.keys, True)

    cdef void product(self, const Step* step, types.gemm32 multiply, const float* a, Py_ssize_t a_stride,
                      const float* b, Py_ssize_t b_stride, float* c, Py_ssize_t c_stride, Py_ssize_t n, Py_ssize_t k,
                      bint deep) noexcept nogil:
        """deep: keys are the k, not the n."""
        cdef const float** addresses = <const float**>step.scratch
        cdef Py_ssize_t first = 0, i, lines, most = TOGETHER_CAUSAL if self.causal else ADDRESSES
        while first < self.queries:
            lines = min(self.queries - first, most)
            for i in range(lines):
                addresses[i] = a + (first + i) * a_stride
            if self.causal and deep:
                k = min(first + lines, self.keys)
            elif self.causal:
                n = min(first + lines, self.keys)
            multiply(addresses, 0, b, b_stride, NULL, c + first * c_stride, c_stride, lines, n, k,
                     step.scratch + ADDRESS_SPACE)
            first += lines

    cdef void product_of_columns(self, const Step* step, const float* a, const float* b, Py_ssize_t b_stride, float* c,
                                 Py_ssize_t c_stride, Py_ssize_t n, bint more) noexcept nogil:
        """C = At.B, of a table; with `more` it is added."""
        cdef const float** addresses = <const float**>step.scratch
        cdef Py_ssize_t first, i, lines, key = 0, keys
        cdef bint again
        while key < self.keys:
            keys = min(self.keys - key, <Py_ssize_t>TOGETHER_CAUSAL) if self.causal else self.keys
            first, again = min(key, self.queries - 1) if self.causal else 0, more
            while first < self.queries:
                lines = min(self.queries - first, <Py_ssize_t>ADDRESSES)
                for i in range(lines):
                    addresses[i] = a + (first + i) * self.keys
                self.matmul_transposed_a(addresses, key, b + first * b_stride, b_stride, c if again else NULL, c,
                                         c_stride, keys, n, lines, step.scratch + ADDRESS_SPACE)
                first += lines
                again = True
            c += keys * c_stride
            key += keys

    # What a query sees.

    cdef void find_hidden(self, Py_ssize_t row, Py_ssize_t head, Py_ssize_t query, float* bias) noexcept nogil:
        """0 for each key that the masks let the query see, -inf for the others."""
        cdef Py_ssize_t mask, key
        cdef const float* x
        cdef const int64_t* strides = self.mask_strides
        memset(bias, 0, self.keys * sizeof(float))
        for mask in range(self.of_v + 1, self.read_count):
            x = self.reads[mask].rows[row] + head * strides[0] + query * strides[1]
            for key in range(self.keys):
                if x[key * strides[2]] == 0:
                    bias[key] = self.hidden[0]
            strides += 3

    cdef void hide(self, Py_ssize_t row, Py_ssize_t head, float* scores, float* bias, float* blind) noexcept nogil:
        """Scores of what is not seen become -inf; blind[query]: it sees nothing, and has no scores.

        bias: what masks add, for each query if they tell these apart; the heads after the first find it there.
        """
        cdef Py_ssize_t query, key, low, high
        cdef bint masked = self.read_count > self.of_v + 1
        for query in range(self.queries):
            low, high = 0, self.keys
            if self.window:
                low, high = min(max(query - self.window + 1, 0), high), min(high, query + self.window)
            if self.causal:
                high = min(high, query + 1)
            key = low
            if masked:
                if (self.by_query or query == 0) and (self.by_head or head == 0):
                    self.find_hidden(row, head, query, bias)
                self.add(scores, bias, self.keys, 0)
                while key < high and bias[key] != 0:
                    key += 1
                bias += self.keys if self.by_query else 0
            memcpy(scores, self.hidden, low * sizeof(float))
            memcpy(scores + high, self.hidden, (self.keys - high) * sizeof(float))
            blind[query] = key >= high
            if key >= high:
                memset(scores, 0, self.keys * sizeof(float))
            scores += self.keys

    cdef void find_weights(self, const Step* step, Py_ssize_t row, Py_ssize_t head, float* weights) noexcept nogil:
        """softmax of the scores that lie there."""
        cdef float* blind = self.table_of(step, 2)
        cdef Py_ssize_t query
        if not (self.causal or self.window or self.read_count > self.of_v + 1):
            self.softmax(weights, weights, NULL, self.queries, self.keys)
            return
        self.hide(row, head, weights, self.table_of(step, 1), blind)
        self.softmax(weights, weights, NULL, self.queries, self.keys)
        for query in range(self.queries):
            if blind[query] != 0:
                memset(weights + query * self.keys, 0, self.keys * sizeof(float))

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, head, group
        cdef const float* q
        cdef const float* used
        cdef float* weights
        for row in range(r0, r1):
            q = self.queries_of(step, row)
            for head in range(self.heads):
                group, weights = head // self.repeats, self.weights_of(row) + head * self.table
                if self.scored:
                    memcpy(weights, q + head * self.table, self.table * sizeof(float))
                else:
                    self.scores_of(step, q + head * self.q.head, self.q.line,
                                   self.reads[1].rows[row] + group * self.k.head, self.k.line, weights, self.q.width)
                self.find_weights(step, row, head, weights)
                used = weights
                if self.drops(step):
                    self.drop(step, row, head, weights, self.table_of(step, 0))
                    used = self.table_of(step, 0)
                self.means_of(step, used, self.reads[self.of_v].rows[row] + group * self.v.head, self.v.line,
                              self.a + row * self.units + head * self.out.head, self.out.line, self.out.width)

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, head, mask, n = self.queries * self.heads * self.q.width
        cdef const float* q
        for row in range(r0, r1):
            q = self.queries_of(step, row)
            for head in range(self.heads):
                self.backward_of(step, row, head, q)
            if not self.scored and self.scale != 1 and self.reads[0].d != NULL:
                self.multiply(self.reads[0].d + row * n, NULL, n, self.scale)
        for mask in range(self.of_v + 1, self.read_count):
            if self.reads[mask].d != NULL:
                n = self.reads[mask].width
                memset(self.reads[mask].d + r0 * n, 0, (r1 - r0) * n * sizeof(float))

    cdef void backward_of(self, const Step* step, Py_ssize_t row, Py_ssize_t head, const float* q) noexcept nogil:
        cdef Py_ssize_t group = head // self.repeats
        cdef bint more = head % self.repeats != 0       # heads of a group are added up
        cdef const float* d = self.d + row * self.units + head * self.out.head
        cdef const float* k
        cdef float* weights = self.weights_of(row) + head * self.table
        cdef float* used = weights
        cdef float* slopes = self.table_of(step, 1)
        cdef float* to
        if self.drops(step):
            used = self.table_of(step, 0)
            self.drop(step, row, head, weights, used)
        if self.reads[self.of_v].d != NULL:
            to = self.reads[self.of_v].d + row * self.keys * self.v.width * (self.heads // self.repeats)
            self.product_of_columns(step, used, d, self.out.line, to + group * self.v.head, self.v.line, self.v.width,
                                    more)
        if self.reads[0].d == NULL and (self.scored or self.reads[1].d == NULL):
            return
        if self.causal:
            memset(slopes, 0, self.table * sizeof(float))
        self.scores_of(step, d, self.out.line, self.reads[self.of_v].rows[row] + group * self.v.head, self.v.line,
                       slopes, self.v.width)
        if self.drops(step):
            self.drop(step, row, head, slopes, slopes)
        if self.states:
            self.add(slopes, self.d + (weights - self.a), self.table, 0)
        self.softmax_slopes(weights, weights, slopes, NULL, self.queries, self.keys)
        if self.scored:
            memcpy(self.reads[0].d + (row * self.heads + head) * self.table, slopes, self.table * sizeof(float))
            return
        if self.reads[0].d != NULL:
            k = self.reads[1].rows[row] + group * self.k.head
            to = self.reads[0].d + row * self.queries * self.heads * self.q.width
            self.means_of(step, slopes, k, self.k.line, to + head * self.q.head, self.q.line, self.q.width)
        if self.reads[1].d != NULL:
            to = self.reads[1].d + row * self.keys * self.k.width * (self.heads // self.repeats)
            self.product_of_columns(step, slopes, q + head * self.q.head, self.q.line, to + group * self.k.head,
                                    self.k.line, self.k.width, more)


cdef Heads heads_of(Py_ssize_t width, Py_ssize_t heads, Py_ssize_t lines, bint apart) noexcept:
    cdef Heads given
    given.width = width
    given.line = width if apart else heads * width
    given.head = lines * width if apart else width
    return given


cdef class TanhScoresOp(Op):
    """a[t, s] = sum of w * tanh(q[t] + k[s]), for each query and key of `outer` blocks.

    sources: q (outer * queries, width), k (outer * keys, width), w (1, width). What tanh gives is worked out again on
    the way back: of all pairs together it would be `width` times as much as the scores.
    """

    cdef Py_ssize_t outer
    cdef Py_ssize_t queries
    cdef Py_ssize_t keys
    cdef Py_ssize_t n                   # width
    cdef types.gemm32 matmul
    cdef types.gemm32 matmul_transposed_a
    cdef types.activation_forward32 tanh
    cdef types.activation_backward32 tanh_slopes
    cdef types.vector32 add
    cdef sum32 column_sums

    def __init__(self, Py_ssize_t outer, Py_ssize_t queries, Py_ssize_t keys, Py_ssize_t width):
        self.outer, self.queries, self.keys, self.n = outer, queries, keys, width
        self.matmul = <types.gemm32>float32_of(kernels.gemm, "gemm")
        self.matmul_transposed_a = <types.gemm32>float32_of(kernels.gemm_transposed_a, "gemm")
        self.tanh = <types.activation_forward32>float32_of(kernels.tanh, "activation", FORWARD)
        self.tanh_slopes = <types.activation_backward32>float32_of(kernels.tanh, "activation", BACKWARD)
        self.add = <types.vector32>float32_of(kernels.add, "vector")
        self.column_sums = <sum32>float32_of(kernels.column_sums, "sum")
        self.shape([(outer * queries, width), (outer * keys, width), (1, width)], outer * queries, keys)

    cdef Py_ssize_t scratch_size(self) noexcept:
        """Addresses, the workspace of a multiply, two tables of pairs, and a line."""
        return (ADDRESS_SPACE + workspace_elements(self.n, max(self.n, self.keys))
                + (2 * min(self.keys, <Py_ssize_t>ADDRESSES) + 1) * self.n)

    cdef double work_of_row(self) noexcept:
        return <double>self.outer * self.queries * self.keys * self.n * UNIT_WORK

    cdef float* workspace(self, const Step* step) noexcept nogil:
        return step.scratch + ADDRESS_SPACE

    cdef float* bent(self, const Step* step) noexcept nogil:
        return self.workspace(step) + workspace_elements(self.n, max(self.n, self.keys))

    cdef Py_ssize_t bend(self, const Step* step, const float* q, const float* k, Py_ssize_t key) noexcept nogil:
        """tanh(q + k) for the keys from `key` on, with the addresses of these lines; gives how many."""
        cdef const float** addresses = <const float**>step.scratch
        cdef Py_ssize_t lines = min(self.keys - key, <Py_ssize_t>ADDRESSES), s, n = self.n
        cdef float* bent = self.bent(step)
        memcpy(bent, k, lines * n * sizeof(float))
        for s in range(lines):
            addresses[s] = bent + s * n
            self.add(bent + s * n, <float*>q, n, 0)
        self.tanh(bent, bent, NULL, lines, n)
        return lines

    cdef void forward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, t, key, lines, n = self.n
        cdef const float* k
        for row in range(r0, r1):
            for t in range(self.outer * self.queries):
                k = self.reads[1].rows[row] + t // self.queries * self.keys * n
                key = 0
                while key < self.keys:
                    lines = self.bend(step, self.reads[0].rows[row] + t * n, k + key * n, key)
                    self.matmul(<const float**>step.scratch, 0, self.reads[2].rows[row], 1, NULL,
                                self.a + row * self.units + t * self.keys + key, 1, lines, 1, n, self.workspace(step))
                    key += lines

    cdef void backward(self, const Step* step, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        cdef Py_ssize_t row, k, n
        for k in range(3):
            if self.reads[k].d != NULL:
                n = self.reads[k].lines * self.n
                memset(self.reads[k].d + r0 * n, 0, (r1 - r0) * n * sizeof(float))
        for row in range(r0, r1):
            for k in range(self.outer * self.queries):
                self.backward_of(step, row, k)

    cdef void backward_of(self, const Step* step, Py_ssize_t row, Py_ssize_t t) noexcept nogil:
        cdef const float** addresses = <const float**>step.scratch
        cdef Py_ssize_t n = self.n, key = 0, lines, s, block = t // self.queries * self.keys
        cdef const float* w = self.reads[2].rows[row]
        cdef const float* d
        cdef float* bent = self.bent(step)
        cdef float* slopes = bent + min(self.keys, <Py_ssize_t>ADDRESSES) * n
        cdef float* line = slopes + min(self.keys, <Py_ssize_t>ADDRESSES) * n
        cdef float* d_w
        while key < self.keys:
            d = self.d + row * self.units + t * self.keys + key
            lines = self.bend(step, self.reads[0].rows[row] + t * n, self.reads[1].rows[row] + (block + key) * n, key)
            if self.reads[2].d != NULL:
                d_w = self.reads[2].d + row * n
                self.matmul_transposed_a(addresses, 0, d, 1, d_w, d_w, 1, n, 1, lines, self.workspace(step))
            for s in range(lines):
                addresses[s] = d + s
            self.matmul(addresses, 0, w, n, NULL, slopes, n, lines, n, 1, self.workspace(step))
            self.tanh_slopes(bent, bent, slopes, NULL, lines, n)
            if self.reads[0].d != NULL:
                self.column_sums(slopes, n, lines, n, line)
                self.add(self.reads[0].d + row * self.reads[0].lines * n + t * n, line, n, 0)
            if self.reads[1].d != NULL:
                self.add(self.reads[1].d + (row * self.reads[1].lines + block + key) * n, slopes, lines * n, 0)
            key += lines
