/* Convolutions by 3x3 filters with a border of one zero pixel, in bfloat16, with 4/9 of their multiplications:
   F(2x2, 3x3) of Lavin and Gray (arXiv:1509.09308), after Winograd.

   A tile is 4x4 pixels of an image, its neighbours' overlapping it by two; of it and the filter come 2x2 pixels of the
   result: y = A'[(G w G') * (B'x B)]A, where ' transposes and * multiplies element by element. Summed over channels, the
   16 products are 16 products of matrices, tiles by channels. Transforms are done in float32, factors are rounded to
   bfloat16, sums are float32. Images are bfloat16, pixel by pixel, each pixel its channels in a row; filters are float32,
   (to, 3, 3, from). Channels come in multiples of 32, heights and widths are even.

   A few tiles at a time go through all stages, so that what is between them stays in the cache. */

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#define INSTRUCTIONS __attribute__((target("avx512f,avx512bw,avx512bf16")))
#define FAST static inline INSTRUCTIONS __attribute__((always_inline))

enum { LANES = 16, PLACES = 16, TILES = 24, MANY = 96, ROWS = 12, FILTERS = 8, COLUMNS = 2 * LANES };

/* How far apart two places are: not a multiple of 4096 bytes, or all of a tile's would fall on the same lines of the cache. */
#define STEP(tiles, channels) ((tiles) * (channels) + 2 * LANES)

typedef struct {
    int64_t images, height, width;
} shape;

int supported(void) {
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw");
}

/* ---- between memory and registers */

/* Of 32 channels, those at even places or those at odd ones: so no number has to change its place. */
FAST __m512 loaded(const bfloat16 *p, int odd) {
    const __m512i both = _mm512_loadu_si512(p);
    return _mm512_castsi512_ps(odd ? _mm512_and_si512(both, _mm512_set1_epi32(0xFFFF0000)) : _mm512_slli_epi32(both, 16));
}

/* Where a channel comes to stand when the even ones of each 32 come first. */
static int64_t apart(int64_t channel) { return channel / 32 * 32 + channel % 2 * LANES + channel % 32 / 2; }

FAST void rounded(bfloat16 *p, __m512 x) { _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(x)); }

FAST void both_rounded(bfloat16 *p, __m512 x, __m512 next) { _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(next, x)); }

/* Channel by channel the numbers of two tiles: what one multiplication of pairs takes. */
FAST void paired(bfloat16 *p, __m512 first, __m512 second) {
    const __m512i turn = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                          5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi16(turn, (__m512i)_mm512_cvtne2ps_pbh(second, first)));
}

FAST __m512bh pairs(const bfloat16 *p) { return (__m512bh)_mm512_loadu_si512(p); }

FAST __m512bh one_pair(const bfloat16 *p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

/* One tile after another, row by row, image by image. */
typedef struct {
    shape of;
    int64_t image, top, left;
} cursor;

static cursor first(shape of) { return (cursor){of, 0, 0, 0}; }

static void next(cursor *c) {
    c->left += 2;
    if (c->left == c->of.width) c->left = 0, c->top += 2;
    if (c->top == c->of.height) c->top = 0, c->image++;
}

/* Where the 4x4 pixels of a tile are; `nothing` stands for those outside, and for all of a tile behind the last. */
FAST void pixels(const bfloat16 *at[PLACES], const bfloat16 *x, const bfloat16 *nothing, const cursor *c,
                 int64_t channels) {
    const int64_t line = c->of.width * channels;
    const bfloat16 *corner = x + ((c->image * c->of.height + c->top - 1) * c->of.width + c->left - 1) * channels;
    const int inside = c->image < c->of.images;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const int held = inside && (i > 0 || c->top > 0) && (i < 3 || c->top + 2 < c->of.height) &&
                             (j > 0 || c->left > 0) && (j < 3 || c->left + 2 < c->of.width);
            at[4 * i + j] = held ? corner + i * line + j * channels : nothing;
        }
}

/* Where the 2x2 pixels in its middle are. */
FAST void middle(const bfloat16 *at[4], const bfloat16 *x, const bfloat16 *nothing, const cursor *c, int64_t channels) {
    const bfloat16 *corner = x + ((c->image * c->of.height + c->top) * c->of.width + c->left) * channels;
    for (int i = 0; i < 4; i++)
        at[i] = c->image < c->of.images ? corner + (i / 2 * c->of.width + i % 2) * channels : nothing;
}

/* ---- transforms of sixteen channels */

FAST void image_transform(__m512 out[PLACES], const bfloat16 **at, int64_t c, int odd) {
    __m512 half[4][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m512 a = loaded(at[j] + c, odd), b = loaded(at[4 + j] + c, odd);
        const __m512 d = loaded(at[8 + j] + c, odd), e = loaded(at[12 + j] + c, odd);
        half[0][j] = a - d, half[1][j] = b + d, half[2][j] = d - b, half[3][j] = b - e;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512 *h = half[i];
        out[4 * i] = h[0] - h[2], out[4 * i + 1] = h[1] + h[2], out[4 * i + 2] = h[2] - h[1], out[4 * i + 3] = h[1] - h[3];
    }
}

FAST void result_transform(__m512 out[4], const float *sums, int64_t step) {
    __m512 half[2][4];
    for (int j = 0; j < 4; j++) {
        const __m512 a = _mm512_loadu_ps(sums + j * step), b = _mm512_loadu_ps(sums + (4 + j) * step);
        const __m512 c = _mm512_loadu_ps(sums + (8 + j) * step), d = _mm512_loadu_ps(sums + (12 + j) * step);
        half[0][j] = a + b + c, half[1][j] = b - c - d;
    }
    for (int i = 0; i < 2; i++) {
        const __m512 *h = half[i];
        out[2 * i] = h[0] + h[1] + h[2], out[2 * i + 1] = h[1] - h[2] - h[3];
    }
}

/* The transpose of the one above: from 2x2 pixels of a gradient to sixteen places. */
FAST void gradient_transform(__m512 out[PLACES], const __m512 given[4]) {
    __m512 half[4][2];
    for (int j = 0; j < 2; j++) {
        const __m512 a = given[j], b = given[2 + j];
        half[0][j] = a, half[1][j] = a + b, half[2][j] = a - b, half[3][j] = -b;
    }
    for (int i = 0; i < 4; i++) {
        const __m512 a = half[i][0], b = half[i][1];
        out[4 * i] = a, out[4 * i + 1] = a + b, out[4 * i + 2] = a - b, out[4 * i + 3] = -b;
    }
}

static const float G[4][3] = {{1, 0, 0}, {.5f, .5f, .5f}, {.5f, -.5f, .5f}, {0, 0, 1}};

/* Filters (to, 3, 3, from) to (place, pair of channels, filter, 2); `back` takes (from, 3, 3, to), turned by half a turn. */
static void filter_transform(bfloat16 *out, const float *filters, int64_t from, int64_t to, int64_t back) {
    const int64_t by_filter = back ? 1 : 9 * from, by_channel = back ? 9 * to : 1, by_pixel = back ? -to : from;
    const float *start = back ? filters + 8 * to : filters;
    for (int64_t k = 0; k < from; k++)
        for (int64_t n = 0; n < to; n++) {
            const float *w = start + n * by_filter + k * by_channel;
            float half[4][3];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 3; j++)
                    half[i][j] = G[i][0] * w[j * by_pixel] + G[i][1] * w[(3 + j) * by_pixel] + G[i][2] * w[(6 + j) * by_pixel];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) {
                    const float x = half[i][0] * G[j][0] + half[i][1] * G[j][1] + half[i][2] * G[j][2];
                    out[(((4 * i + j) * (from / 2) + apart(k) / 2) * to + n) * 2 + apart(k) % 2] = store_bfloat16(x);
                }
        }
}

/* Its transpose: from (place, channel, filter) of a gradient to filters (to, 3, 3, from). */
static void filter_gradient(float *filters, const float *sums, int64_t from, int64_t to) {
    for (int64_t k = 0; k < from; k++)
        for (int64_t n = 0; n < to; n++) {
            float half[3][4] = {0};
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    for (int a = 0; a < 3; a++)
                        half[a][j] += G[i][a] * sums[((4 * i + j) * from + apart(k)) * to + apart(n)];
            for (int a = 0; a < 3; a++)
                for (int b = 0; b < 3; b++) {
                    float x = 0;
                    for (int j = 0; j < 4; j++) x += half[a][j] * G[j][b];
                    filters[(n * 9 + 3 * a + b) * from + k] = x;
                }
        }
}

/* ---- products of matrices */

/* sums[t][n] = the sum over k of tiles[t][k] * filters[k][n], for twelve tiles and 32 filters. */
FAST void multiply(float *sums, const bfloat16 *tiles, const bfloat16 *filters, int64_t from, int64_t to) {
    __m512 sum[ROWS][2];
#pragma GCC unroll 12
    for (int t = 0; t < ROWS; t++) sum[t][0] = sum[t][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < from; k += 2) {
        const __m512bh left = pairs(filters + k * to), right = pairs(filters + k * to + 2 * LANES);
#pragma GCC unroll 12
        for (int t = 0; t < ROWS; t++) {
            const __m512bh x = one_pair(tiles + t * from + k);
            sum[t][0] = _mm512_dpbf16_ps(sum[t][0], x, left), sum[t][1] = _mm512_dpbf16_ps(sum[t][1], x, right);
        }
    }
#pragma GCC unroll 12
    for (int t = 0; t < ROWS; t++) {
        _mm512_storeu_ps(sums + t * to, sum[t][0]);
        _mm512_storeu_ps(sums + t * to + LANES, sum[t][1]);
    }
}

/* sums[k][n] += the sum over tiles of images[tile][k] * gradients[tile][n], for eight channels k and 32 filters n. */
FAST void accumulate(float *sums, const bfloat16 *images, const bfloat16 *gradients, int64_t from, int64_t to) {
    __m512 sum[FILTERS][2];
#pragma GCC unroll 8
    for (int k = 0; k < FILTERS; k++)
        sum[k][0] = _mm512_loadu_ps(sums + k * to), sum[k][1] = _mm512_loadu_ps(sums + k * to + LANES);
    for (int64_t t = 0; t < MANY; t += 2) {
        const __m512bh left = pairs(gradients + t * to), right = pairs(gradients + t * to + 2 * LANES);
#pragma GCC unroll 8
        for (int k = 0; k < FILTERS; k++) {
            const __m512bh x = one_pair(images + t * from + 2 * k);
            sum[k][0] = _mm512_dpbf16_ps(sum[k][0], x, left), sum[k][1] = _mm512_dpbf16_ps(sum[k][1], x, right);
        }
    }
#pragma GCC unroll 8
    for (int k = 0; k < FILTERS; k++) {
        _mm512_storeu_ps(sums + k * to, sum[k][0]);
        _mm512_storeu_ps(sums + k * to + LANES, sum[k][1]);
    }
}

/* ---- convolution, forth and back */

/* y = the images x by the filters, and the bias where there is one; `back` is how a gradient passes back to the images.
   Returns 0 where there is no memory. */
INSTRUCTIONS int convolve(const bfloat16 *x, const float *filters, const float *bias, bfloat16 *y, int64_t images,
                          int64_t height, int64_t width, int64_t from, int64_t to, int64_t back) {
    const shape s = {images, height, width};
    const int64_t count = images * (height / 2) * (width / 2);
    bfloat16 *factors = malloc(PLACES * from * to * sizeof *factors);
    bfloat16 *tiles = malloc(PLACES * STEP(TILES, from) * sizeof *tiles), *nothing = calloc(from, sizeof *nothing);
    float *sums = malloc(PLACES * STEP(TILES, to) * sizeof *sums);
    const int ready = factors && tiles && nothing && sums;
    cursor in = first(s), out = in;
    if (ready) filter_transform(factors, filters, from, to, back);
    for (int64_t start = 0; ready && start < count; start += TILES) {
        for (int64_t t = 0; t < TILES; t++, next(&in)) {
            const bfloat16 *at[PLACES];
            pixels(at, x, nothing, &in, from);
            for (int64_t c = 0; c < from; c += LANES) {
                __m512 place[PLACES];
                image_transform(place, at, c / COLUMNS * COLUMNS, c % COLUMNS > 0);
#pragma GCC unroll 16
                for (int e = 0; e < PLACES; e++) rounded(tiles + e * STEP(TILES, from) + t * from + c, place[e]);
            }
        }
        for (int64_t e = 0; e < PLACES; e++)
            for (int64_t n = 0; n < to; n += COLUMNS)
                for (int64_t t = 0; t < TILES; t += ROWS)
                    multiply(sums + e * STEP(TILES, to) + t * to + n, tiles + e * STEP(TILES, from) + t * from,
                             factors + e * from * to + 2 * n, from, to);
        for (int64_t t = 0; t < TILES && start + t < count; t++, next(&out)) {
            const bfloat16 *at[4];
            middle(at, y, nothing, &out, to);
            for (int64_t c = 0; c < to; c += COLUMNS) {
                __m512 left[4], right[4], shift[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
                if (bias) shift[0] = _mm512_loadu_ps(bias + c), shift[1] = _mm512_loadu_ps(bias + c + LANES);
                result_transform(left, sums + t * to + c, STEP(TILES, to));
                result_transform(right, sums + t * to + c + LANES, STEP(TILES, to));
                for (int i = 0; i < 4; i++) both_rounded((bfloat16 *)at[i] + c, left[i] + shift[0], right[i] + shift[1]);
            }
        }
    }
    free(factors), free(tiles), free(nothing), free(sums);
    return ready;
}

FAST void pair_of_images(bfloat16 *out, const bfloat16 *x, const bfloat16 *nothing, cursor *tile, int64_t channels) {
    const bfloat16 *at[2][PLACES];
    for (int i = 0; i < 2; i++, next(tile)) pixels(at[i], x, nothing, tile, channels);
    for (int64_t c = 0; c < channels; c += LANES) {
        __m512 one[PLACES], other[PLACES];
        image_transform(one, at[0], c / COLUMNS * COLUMNS, c % COLUMNS > 0);
        image_transform(other, at[1], c / COLUMNS * COLUMNS, c % COLUMNS > 0);
#pragma GCC unroll 16
        for (int e = 0; e < PLACES; e++) paired(out + e * STEP(MANY, channels) + 2 * c, one[e], other[e]);
    }
}

FAST void pair_of_gradients(bfloat16 *out, float *total, const bfloat16 *dy, const bfloat16 *nothing, cursor *tile,
                            int64_t channels) {
    const bfloat16 *at[2][4];
    for (int i = 0; i < 2; i++, next(tile)) middle(at[i], dy, nothing, tile, channels);
    for (int64_t c = 0; c < channels; c += LANES) {
        __m512 one[PLACES], other[PLACES], given[2][4], all = _mm512_loadu_ps(total + c);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            all += given[i / 4][i % 4] = loaded(at[i / 4][i % 4] + c / COLUMNS * COLUMNS, c % COLUMNS > 0);
        _mm512_storeu_ps(total + c, all);
        gradient_transform(one, given[0]), gradient_transform(other, given[1]);
#pragma GCC unroll 16
        for (int e = 0; e < PLACES; e++) paired(out + e * STEP(MANY, channels) + 2 * c, one[e], other[e]);
    }
}

/* What the gradient dy says of the filters and of the bias. Returns 0 where there is no memory. */
INSTRUCTIONS int convolve_filters(const bfloat16 *x, const bfloat16 *dy, float *filters, float *bias, int64_t images,
                                  int64_t height, int64_t width, int64_t from, int64_t to) {
    const shape s = {images, height, width};
    const int64_t count = images * (height / 2) * (width / 2);
    bfloat16 *tiles = malloc(PLACES * STEP(MANY, from) * sizeof *tiles), *given = malloc(PLACES * STEP(MANY, to) * sizeof *given);
    bfloat16 *nothing = calloc(from + to, sizeof *nothing);
    float *sums = calloc(PLACES * from * to, sizeof *sums);
    float *total = calloc(to, sizeof *total);
    const int ready = tiles && given && nothing && sums && total;
    cursor in = first(s), out = in;
    for (int64_t start = 0; ready && start < count; start += MANY) {
        for (int64_t t = 0; t < MANY; t += 2) {
            pair_of_images(tiles + t * from, x, nothing, &in, from);
            pair_of_gradients(given + t * to, total, dy, nothing, &out, to);
        }
        for (int64_t e = 0; e < PLACES; e++)
            for (int64_t k = 0; k < from; k += FILTERS)
                for (int64_t n = 0; n < to; n += COLUMNS)
                    accumulate(sums + (e * from + k) * to + n, tiles + e * STEP(MANY, from) + 2 * k,
                               given + e * STEP(MANY, to) + 2 * n, from, to);
    }
    if (ready) filter_gradient(filters, sums, from, to);
    for (int64_t n = 0; ready && n < to; n++) bias[n] = total[apart(n)];
    free(tiles), free(given), free(nothing), free(sums), free(total);
    return ready;
}
