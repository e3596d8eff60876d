/* What this processor can do at most: fused multiply-adds in float32, and reading memory.
 *
 * floor THREADS BYTES...   prints one line, "fma <operations a second>", and one for each size of an array,
 * "read <bytes> <bytes a second>"; "dot <operations a second>" of bfloat16 products where there are such: all threads together, each on its share of the array.
 * Best of several tries, because other work on the machine can only make one slower.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
enum { WIDTH = 16 };
#elif defined(__AVX__)
enum { WIDTH = 8 };
#else
enum { WIDTH = 4 };
#endif
typedef float vec __attribute__((vector_size(4 * WIDTH)));

enum { CHAINS = 12, STEPS = 1 << 20, TRIES = 20, LINES = 64 };
static const size_t READ_AT_LEAST = (size_t)1 << 28; /* bytes in one try, or the clock is too coarse */

struct job {
    pthread_barrier_t *barrier;
    const vec *array; /* NULL: multiply and add, in float32 or where `rounds` is not 0 of bfloat16 */
    size_t count;     /* vectors in this thread's share */
    size_t rounds;    /* times that it is read */
    double *seconds;  /* TRIES, of the first thread */
    float sink;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* Twelve chains: two units of four or five cycles' latency want eight or ten at work; sixteen registers hold them. */
static vec multiply_add(void) {
    vec a[CHAINS], x, y;
    for (int k = 0; k < WIDTH; k++) {
        x[k] = 0.999f;
        y[k] = 0.001f;
    }
    for (int c = 0; c < CHAINS; c++)
        a[c] = y * (float)c;
    __asm__ volatile("" : "+x"(x), "+x"(y)); /* or the compiler would know the values */
    for (int i = 0; i < STEPS; i++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            a[c] = a[c] * x + y;
    for (int c = 1; c < CHAINS; c++)
        a[0] += a[c];
    return a[0];
}

#if defined(__AVX512BF16__)
#include <immintrin.h>
enum { DOT = 4 * WIDTH };
static vec dot_product(void) {
    __m512 a[CHAINS];
    __m512i x = _mm512_set1_epi32(0x3F803F80);
    for (int c = 0; c < CHAINS; c++)
        a[c] = _mm512_set1_ps((float)c);
    __asm__ volatile("" : "+x"(x));
    for (int i = 0; i < STEPS; i++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            a[c] = _mm512_dpbf16_ps(a[c], (__m512bh)x, (__m512bh)x);
    for (int c = 1; c < CHAINS; c++)
        a[0] += a[c];
    return (vec)a[0];
}
#else
enum { DOT = 0 };
static vec dot_product(void) { return (vec){0}; }
#endif

static vec read_array(const vec *array, size_t count, size_t rounds) {
    vec sum[8];
    memset(sum, 0, sizeof sum);
    for (size_t r = 0; r < rounds; r++) {
        for (size_t i = 0; i < count; i += 8)
#pragma GCC unroll 8
            for (int c = 0; c < 8; c++)
                sum[c] += array[i + c];
        __asm__ volatile("" ::: "memory"); /* or one round would do */
    }
    for (int c = 1; c < 8; c++)
        sum[0] += sum[c];
    return sum[0];
}

static void *work(void *argument) {
    struct job *job = argument;
    for (int i = 0; i < TRIES; i++) {
        pthread_barrier_wait(job->barrier);
        double start = now();
        vec result = job->array    ? read_array(job->array, job->count, job->rounds)
                     : job->rounds ? dot_product()
                                   : multiply_add();
        job->sink += result[0];
        pthread_barrier_wait(job->barrier);
        if (job->seconds)
            job->seconds[i] = now() - start;
    }
    return NULL;
}

/* The least seconds that all threads need together. */
static double least(int threads, const char *array, size_t bytes, size_t rounds) {
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, threads);
    pthread_t *ids = calloc(threads, sizeof *ids);
    struct job *jobs = calloc(threads, sizeof *jobs);
    double seconds[TRIES];
    for (int i = 0; i < threads; i++) {
        size_t share = bytes / threads;
        jobs[i] = (struct job){&barrier, array ? (const vec *)(array + i * share) : NULL, share / sizeof(vec), rounds,
                               i ? NULL : seconds, 0};
        if (i > 0 && pthread_create(&ids[i], NULL, work, &jobs[i])) {
            fprintf(stderr, "floor: cannot start thread %d of %d\n", i + 1, threads);
            exit(1);
        }
    }
    work(&jobs[0]);
    for (int i = 1; i < threads; i++)
        pthread_join(ids[i], NULL);
    double best = seconds[0];
    for (int i = 1; i < TRIES; i++)
        best = seconds[i] < best ? seconds[i] : best;
    volatile float sink = jobs[0].sink; /* the work has a result, so it is done */
    (void)sink;
    free(ids);
    free(jobs);
    pthread_barrier_destroy(&barrier);
    return best;
}

int main(int count, char **arguments) {
    int threads = count > 1 ? atoi(arguments[1]) : 0;
    if (threads < 1) {
        fprintf(stderr, "usage: floor THREADS BYTES...\n");
        return 2;
    }
    double operations = 2.0 * WIDTH * CHAINS * STEPS * threads;
    printf("fma %.6g\n", operations / least(threads, NULL, 0, 0));
    if (DOT)
        printf("dot %.6g\n", operations / (2 * WIDTH) * DOT / least(threads, NULL, 0, 1));
    for (int i = 2; i < count; i++) {
        size_t unit = (size_t)threads * 8 * LINES, bytes = strtoull(arguments[i], NULL, 10) / unit * unit;
        char *array = bytes ? aligned_alloc(LINES, bytes) : NULL;
        if (!array) {
            fprintf(stderr, "floor: cannot read an array of %s bytes with %d threads\n", arguments[i], threads);
            return 1;
        }
        memset(array, 0, bytes);
        size_t rounds = READ_AT_LEAST / bytes + 1;
        printf("read %zu %.6g\n", bytes, (double)bytes * rounds / least(threads, array, bytes, rounds));
        free(array);
    }
    return 0;
}
