/* What Winograd's F(2x2, 3x3) transforms (Lavin and Gray, arXiv:1509.09308): tiles of images and of their gradients,
   filters, results, each there and back; it multiplies nothing.

   A tile is 4x4 pixels of an image, its neighbours' overlapping it by two; of it and a filter come 2x2 pixels of the
   result: y = A'[(G w G') * (B'x B)]A, where ' transposes and * multiplies element by element. The sixteen elements are
   called places. Transforms are done in float32, what they give is rounded to bfloat16. Images are bfloat16, pixel by
   pixel, each pixel its channels in a row; a border of zeros is around them. Channels come in multiples of 32, heights
   and widths are even. */

#include <immintrin.h>
#include <stdlib.h>
#include <string.h>

#define INSTRUCTIONS __attribute__((target("avx512f,avx512bw,avx512bf16")))
#define FAST static inline INSTRUCTIONS __attribute__((always_inline))

enum { LANES = 16, COLUMNS = 2 * LANES, PLACES = 16, TILES = 12 };

/* How far apart places are, of so many tiles: no multiple of 4096 bytes, which would put them all on the same few lines
   of the cache. */
#define STEP(tiles, channels) ((tiles) * (channels) + 2 * LANES)

/* ---- between memory and registers */

/* Of 32 channels, those at even places or those at odd ones: so no number has to change its place. */
FAST __m512 loaded(const bfloat16 *p, int odd) {
    const __m512i both = _mm512_loadu_si512(p);
    const __m512i high = _mm512_set1_epi32(0xFFFF0000);
    return _mm512_castsi512_ps(odd ? _mm512_and_si512(both, high) : _mm512_slli_epi32(both, 16));
}

/* Where a channel comes to stand when the even ones of each 32 come first. */
static int64_t apart(int64_t channel) { return channel / 32 * 32 + channel % 2 * LANES + channel % 32 / 2; }

FAST void rounded(bfloat16 *p, __m512 x, __m512 next) {
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(next, x));
}

/* Channel by channel the numbers of two tiles: what one multiplication of pairs takes. */
FAST void paired(bfloat16 *p, __m512 first, __m512 second) {
    const __m512i turn = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                          23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi16(turn, (__m512i)_mm512_cvtne2ps_pbh(second, first)));
}

/* ---- where tiles are */

typedef struct {
    int64_t images, height, width;
} shape;

/* One tile after another, row by row, image by image. */
typedef struct {
    shape of;
    int64_t image, top, left;
} cursor;

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

/* Where the pixels of so many tiles are, and which of them lie right beside the one before. */
typedef struct {
    const bfloat16 *at[TILES][PLACES];
    int beside[TILES];
} table;

FAST void look(table *found, const bfloat16 *x, const bfloat16 *nothing, cursor *tile, int64_t channels) {
    for (int t = 0; t < TILES; t++, next(tile)) {
        pixels(found->at[t], x, nothing, tile, channels);
        found->beside[t] = t > 0 && tile->left > 0;
    }
}

/* Where the 2x2 pixels in a tile's middle are. */
FAST void middle(const bfloat16 *at[4], const bfloat16 *x, const bfloat16 *nothing, const cursor *c, int64_t channels) {
    const bfloat16 *corner = x + ((c->image * c->of.height + c->top) * c->of.width + c->left) * channels;
    for (int i = 0; i < 4; i++)
        at[i] = c->image < c->of.images ? corner + (i / 2 * c->of.width + i % 2) * channels : nothing;
}

/* Asks the cache for the 2x2 pixels `below` rows under the middles of so many tiles: to wait for memory where a tile is
   needed would cost a tenth of a convolution. What lies outside of the images is asked for in vain. */
FAST void fetch(const bfloat16 *x, cursor *tile, int64_t tiles, int64_t below, int64_t channels) {
    for (int64_t t = 0; t < tiles && tile->image < tile->of.images; t++, next(tile)) {
        const bfloat16 *at[4];
        middle(at, x + below * tile->of.width * channels, 0, tile, channels);
        for (int i = 0; i < 4; i++)
            for (int64_t c = 0; c < channels; c += COLUMNS) _mm_prefetch(at[i] + c, _MM_HINT_T1);
    }
}

/* ---- images: a register has sixteen channels, every other one of 32 */

/* One column of pixels after another. The first two of a tile are the last two of its left neighbour, `beside` it. */
FAST void columns(__m512 half[4][4], const bfloat16 *const at[PLACES], int beside, int64_t c, int odd) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        if (j < 2 && beside) {
            for (int i = 0; i < 4; i++) half[i][j] = half[i][j + 2];
            continue;
        }
        const __m512 a = loaded(at[j] + c, odd), b = loaded(at[4 + j] + c, odd);
        const __m512 d = loaded(at[8 + j] + c, odd), e = loaded(at[12 + j] + c, odd);
        half[0][j] = a - d, half[1][j] = b + d, half[2][j] = d - b, half[3][j] = b - e;
    }
}

FAST void rows(__m512 out[PLACES], __m512 half[4][4]) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512 *h = half[i];
        __m512 *o = out + 4 * i;
        o[0] = h[0] - h[2], o[1] = h[1] + h[2], o[2] = h[2] - h[1], o[3] = h[1] - h[3];
    }
}

/* The places of TILES tiles: (place, tile, channel), the even channels of each 32 first. */
FAST void images_transformed(bfloat16 *out, const bfloat16 *x, const bfloat16 *nothing, cursor *tile, int64_t channels) {
    table found;
    look(&found, x, nothing, tile, channels);
    for (int64_t c = 0; c < channels; c += COLUMNS) {
        __m512 even[4][4], odd[4][4], left[PLACES], right[PLACES];
        for (int64_t t = 0; t < TILES; t++) {
            columns(even, found.at[t], found.beside[t], c, 0), columns(odd, found.at[t], found.beside[t], c, 1);
            rows(left, even), rows(right, odd);
#pragma GCC unroll 16
            for (int e = 0; e < PLACES; e++) rounded(out + e * STEP(TILES, channels) + t * channels + c, left[e], right[e]);
        }
    }
}

/* The same of TILES out of `many` tiles as (place, pair of tiles, channel, 2). */
FAST void images_paired(bfloat16 *out, const bfloat16 *x, const bfloat16 *nothing, cursor *tile, int64_t channels,
                        int64_t many) {
    table found;
    look(&found, x, nothing, tile, channels);
    for (int64_t c = 0; c < channels; c += LANES) {
        __m512 half[4][4], place[2][PLACES];
        for (int64_t t = 0; t < TILES; t += 2) {
            for (int i = 0; i < 2; i++) {
                columns(half, found.at[t + i], found.beside[t + i], c / COLUMNS * COLUMNS, c % COLUMNS > 0);
                rows(place[i], half);
            }
#pragma GCC unroll 16
            for (int e = 0; e < PLACES; e++)
                paired(out + e * STEP(many, channels) + t * channels + 2 * c, place[0][e], place[1][e]);
        }
    }
}

/* ---- results, and their gradients */

/* The last half of a result's transform: `sums` has (row of places, 2, tile, channel). */
FAST void pixels_of(__m512 out[4], const float *sums, int64_t step) {
    for (int j = 0; j < 2; j++) {
        const __m512 a = _mm512_loadu_ps(sums + j * step), b = _mm512_loadu_ps(sums + (2 + j) * step);
        const __m512 c = _mm512_loadu_ps(sums + (4 + j) * step), d = _mm512_loadu_ps(sums + (6 + j) * step);
        out[j] = a + b + c, out[2 + j] = b - c - d;
    }
}

/* The pixels of TILES tiles, or as many as there are, with the bias where there is one. */
FAST void results_transformed(bfloat16 *y, const float *sums, const float *bias, cursor *tile, int64_t channels) {
    for (int64_t t = 0; t < TILES && tile->image < tile->of.images; t++, next(tile)) {
        const bfloat16 *at[4];
        middle(at, y, 0, tile, channels);
        for (int64_t c = 0; c < channels; c += COLUMNS) {
            __m512 left[4], right[4], shift[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
            if (bias) shift[0] = _mm512_loadu_ps(bias + c), shift[1] = _mm512_loadu_ps(bias + c + LANES);
            pixels_of(left, sums + t * channels + c, STEP(TILES, channels));
            pixels_of(right, sums + t * channels + c + LANES, STEP(TILES, channels));
            for (int i = 0; i < 4; i++) rounded((bfloat16 *)at[i] + c, left[i] + shift[0], right[i] + shift[1]);
        }
    }
}

/* The transpose of the whole: from 2x2 pixels of a gradient to sixteen places. */
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

/* The places of two out of `many` tiles, laid out as those of images are; `total` gains the sum of each channel. */
FAST void gradients_paired(bfloat16 *out, float *total, const bfloat16 *dy, const bfloat16 *nothing, cursor *tile,
                           int64_t channels, int64_t many) {
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
        for (int e = 0; e < PLACES; e++) paired(out + e * STEP(many, channels) + 2 * c, one[e], other[e]);
    }
}

/* ---- filters */

static const float G[4][3] = {{1, 0, 0}, {.5f, .5f, .5f}, {.5f, -.5f, .5f}, {0, 0, 1}};

/* Filters (to, 3, 3, from) to (32 filters, place, pair of channels, filter, 2); going `back` they are (from, 3, 3, to),
   and turned by half a turn. */
static void filter_transform(bfloat16 *out, const float *filters, int64_t from, int64_t to, int64_t back) {
    const int64_t by_filter = back ? 1 : 9 * from, by_channel = back ? 9 * to : 1, by_pixel = back ? -to : from;
    const float *start = back ? filters + 8 * to : filters;
    for (int64_t k = 0; k < from; k++)
        for (int64_t n = 0; n < to; n++) {
            const float *w = start + n * by_filter + k * by_channel;
            float half[4][3];
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 3; j++) {
                    const float *v = w + j * by_pixel;
                    half[i][j] = G[i][0] * v[0] + G[i][1] * v[3 * by_pixel] + G[i][2] * v[6 * by_pixel];
                }
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) {
                    const float x = half[i][0] * G[j][0] + half[i][1] * G[j][1] + half[i][2] * G[j][2];
                    const int64_t pair = ((n / COLUMNS * PLACES + 4 * i + j) * from + apart(k)) / 2;
                    out[(pair * COLUMNS + n % COLUMNS) * 2 + apart(k) % 2] = store_bfloat16(x);
                }
        }
}

/* The transpose: from (place, channel, filter) of a gradient, the even ones of each 32 first, to filters. */
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
