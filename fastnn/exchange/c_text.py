"""What the C files of `c_export` are made of: helper functions, each written into a file that uses it."""

from __future__ import annotations

HELPERS = {
    "copy": """\
static void copy(const float *x, float *y, long n) {
    for (long i = 0; i < n; ++i) y[i] = x[i];
}
""",
    "zero": """\
static void zero(float *y, long n) {
    for (long i = 0; i < n; ++i) y[i] = 0.0f;
}
""",
    "accumulate": """\
/* y[j] += sum over i < n of x[i] * w[i * stride + j], for j < m */
static void accumulate(const float *x, const float *w, float *restrict y, long n, long m, long stride) {
    for (long i = 0; i < n / 4; ++i, x += 4, w += 4 * stride) {
        const float a = x[0], b = x[1], c = x[2], d = x[3];
        const float *wb = w + stride, *wc = wb + stride, *wd = wc + stride;
        for (long j = 0; j < m; ++j) y[j] += a * w[j] + b * wb[j] + c * wc[j] + d * wd[j];
    }
    for (long i = 0; i < n % 4; ++i, ++x, w += stride) {
        const float a = x[0];
        for (long j = 0; j < m; ++j) y[j] += a * w[j];
    }
}
""",
    "quantise": """\
/* q[i] = round(x[i] / scale), which is a byte less its zero point: scale maps low and high, where they are not one,
   else the least and the largest of x and 0, to 0 and 255. Gives scale, NaN where x is not finite. */
static float quantise(const float *x, int16_t *q, long n, float low, float high) {
    const int own = low == high;
    float odd = 0.0f;
    for (long i = 0; i < n; ++i) {
        low = own && x[i] < low ? x[i] : low;
        high = own && x[i] > high ? x[i] : high;
        odd += x[i] - x[i];
    }
    const float range = high - low, scale = range > 0.0f && range < 3e38f ? range / 255.0f : 1.0f;
    const float inverse = 1.0f / scale, zero = range < 3e38f ? rintf(-low * inverse) : 0.0f;
    for (long i = 0; i < n; ++i) {
        const float u = rintf(x[i] * inverse) + zero;
        q[i] = (int16_t)((u > 0.0f ? u < 255.0f ? u : 255.0f : 0.0f) - zero);
    }
    return scale + odd;
}
""",
    "accumulate8": """\
/* sums[j] += sum over i < n of q[i] * w[i * stride + j], for j < m: exact */
static void accumulate8(const int16_t *q, const int8_t *w, int32_t *restrict sums, long n, long m, long stride) {
    for (long i = 0; i < n / 2; ++i, q += 2, w += 2 * stride) {
        const int32_t a = q[0], b = q[1];
        const int8_t *wb = w + stride;
        for (long j = 0; j < m; ++j) sums[j] += a * w[j] + b * wb[j];
    }
    if (n % 2)
        for (long j = 0; j < m; ++j) sums[j] += q[0] * w[j];
}
""",
    "zero8": """\
static void zero8(int32_t *sums, long n) {
    for (long i = 0; i < n; ++i) sums[i] = 0;
}
""",
    "scaled": """\
/* y[j] += sums[j] * scale * scales[j] */
static void scaled(const int32_t *sums, float scale, const float *scales, float *y, long m) {
    for (long j = 0; j < m; ++j) y[j] += (float)sums[j] * (scale * scales[j]);
}
""",
    "softmax": """\
static void softmax(float *y, long lines, long n) {
    for (; lines > 0; --lines, y += n) {
        float top = y[0], sum = 0.0f;
        for (long i = 1; i < n; ++i) top = y[i] > top ? y[i] : top;
        for (long i = 0; i < n; ++i) sum += y[i] = expf(y[i] - top);
        for (long i = 0; i < n; ++i) y[i] /= sum;
    }
}
""",
    "log_softmax": """\
static void log_softmax(float *y, long lines, long n) {
    for (; lines > 0; --lines, y += n) {
        float top = y[0], sum = 0.0f;
        for (long i = 1; i < n; ++i) top = y[i] > top ? y[i] : top;
        for (long i = 0; i < n; ++i) sum += expf(y[i] - top);
        for (long i = 0; i < n; ++i) y[i] = y[i] - top - logf(sum);
    }
}
""",
    "sparsemax": """\
/* max(y - tau, 0), tau such that the sum is 1: of those above tau, until they stay the same */
static void sparsemax(float *y, long lines, long n) {
    for (; lines > 0; --lines, y += n) {
        float top = y[0], tau;
        long count = 0, before;
        for (long i = 1; i < n; ++i) top = y[i] > top ? y[i] : top;
        tau = -2.0f;
        do {
            float sum = -1.0f;
            before = count;
            count = 0;
            for (long i = 0; i < n; ++i)
                if (y[i] - top > tau) sum += y[i] - top, ++count;
            tau = sum / (float)count;
        } while (count != before);
        for (long i = 0; i < n; ++i) y[i] = y[i] - top > tau ? y[i] - top - tau : 0.0f;
    }
}
""",
    "normalise": """\
/* (x - mean) / sqrt(mean square + epsilon) of each line; centred: 0 leaves the mean in */
static void normalise(const float *x, float *y, long lines, long n, int centred, float epsilon) {
    for (; lines > 0; --lines, x += n, y += n) {
        float mean = 0.0f, square = 0.0f;
        for (long i = 0; centred && i < n; ++i) mean += x[i];
        mean /= (float)n;
        for (long i = 0; i < n; ++i) square += (x[i] - mean) * (x[i] - mean);
        const float factor = 1.0f / sqrtf(square / (float)n + epsilon);
        for (long i = 0; i < n; ++i) y[i] = (x[i] - mean) * factor;
    }
}
""",
    "look_up": """\
/* the rows of a table that n ids name; zeros for an id that it does not have */
static void look_up(const float *ids, const float *table, float *y, long n, long choices, long depth) {
    for (long i = 0; i < n; ++i)
        for (long j = 0; j < depth; ++j)
            y[i * depth + j] = ids[i] >= 0.0f && ids[i] < (float)choices ? table[(long)ids[i] * depth + j] : 0.0f;
}
""",
    "encode": """\
/* n ids as a row of zeros and ones, or of counts */
static void encode(const float *ids, float *y, long lines, long n, long choices, int counts) {
    for (; lines > 0; --lines, ids += n, y += choices) {
        for (long i = 0; i < choices; ++i) y[i] = 0.0f;
        for (long i = 0; i < n; ++i)
            if (ids[i] >= 0.0f && ids[i] < (float)choices) {
                float *place = y + (long)ids[i];
                *place = counts ? *place + 1.0f : 1.0f;
            }
    }
}
""",
}
MATHS = r"\b((exp|log|sqrt|rint|fabs|tanh|erfc|expm1|log1p|sin|cos|floor|ceil)f|INFINITY)\b"
