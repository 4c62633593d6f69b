/* Convolutions by 3x3 filters with a border of one zero pixel, in bfloat16, with 4/9 of their multiplications: what
   winograd_tiles.c, which stands before this, transforms is multiplied here, place by place, as matrices of tiles by
   channels. Sums are float32. Filters are float32, (to, 3, 3, from).

   A few tiles at a time go through all stages, so that what is between them stays in the cache. */

enum { ROWS = 3, FILTERS = 8, MANY = 8 * TILES };

int supported(void) { return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw"); }

/* ---- products of matrices */

/* Once in a register, they stay there: gcc would sooner load them again for every tile. */
FAST __m512bh pairs(const bfloat16 *p) {
    __m512i x = _mm512_loadu_si512(p);
    __asm__("" : "+v"(x));
    return (__m512bh)x;
}

FAST __m512bh one_pair(const bfloat16 *p) {
    int32_t both;
    memcpy(&both, p, sizeof both);
    return (__m512bh)_mm512_set1_epi32(both);
}

/* For three tiles, 32 filters n and the four places of one row: the sums over k of tiles[t][k] * filters[k][n], and,
   while they are in registers, the first half of the result's transform, two numbers of four. */
FAST void multiply(float *sums, const bfloat16 *tiles, const bfloat16 *filters, int64_t from, int64_t to) {
    __m512 sum[ROWS][4][2];
#pragma GCC unroll 12
    for (int i = 0; i < 4 * ROWS; i++) sum[i / 4][i % 4][0] = sum[i / 4][i % 4][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < from; k += 2) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const bfloat16 *own = filters + (j * from + k) * COLUMNS;
            const __m512bh left = pairs(own), right = pairs(own + 2 * LANES);
#pragma GCC unroll 3
            for (int t = 0; t < ROWS; t++) {
                const __m512bh x = one_pair(tiles + j * STEP(TILES, from) + t * from + k);
                sum[t][j][0] = _mm512_dpbf16_ps(sum[t][j][0], x, left);
                sum[t][j][1] = _mm512_dpbf16_ps(sum[t][j][1], x, right);
            }
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < 2 * ROWS; i++) {
        const int t = i / 2, half = i % 2;
        const __m512 a = sum[t][0][half], b = sum[t][1][half], c = sum[t][2][half], d = sum[t][3][half];
        float *to_here = sums + t * to + half * LANES;
        _mm512_storeu_ps(to_here, a + b + c);
        _mm512_storeu_ps(to_here + STEP(TILES, to), b - c - d);
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
    const int64_t count = images * (height / 2) * (width / 2);
    bfloat16 *factors = malloc(PLACES * from * to * sizeof *factors), *nothing = calloc(from, sizeof *nothing);
    bfloat16 *tiles = malloc(PLACES * STEP(TILES, from) * sizeof *tiles);
    float *sums = malloc(PLACES / 2 * STEP(TILES, to) * sizeof *sums);
    const int ready = factors && nothing && tiles && sums;
    cursor in = {{images, height, width}}, out = in, x_ahead = in, y_ahead = in;
    if (ready) filter_transform(factors, filters, from, to, back), fetch(x, &x_ahead, TILES, 1, from);
    for (int64_t start = 0; ready && start < count; start += TILES) {
        images_transformed(tiles, x, nothing, &in, from);
        for (int64_t i = 0; i < 4; i++) {
            fetch(x, &x_ahead, TILES / 4, 1, from), fetch(y, &y_ahead, TILES / 4, 0, to);
            for (int64_t n = 0; n < to; n += COLUMNS)
                for (int64_t t = 0; t < TILES; t += ROWS)
                    multiply(sums + 2 * i * STEP(TILES, to) + t * to + n, tiles + 4 * i * STEP(TILES, from) + t * from,
                             factors + (n * PLACES + 4 * i * COLUMNS) * from, from, to);
        }
        results_transformed(y, sums, bias, &out, to);
    }
    free(factors), free(nothing), free(tiles), free(sums);
    return ready;
}

/* What the gradient dy says of the filters and of the bias. Returns 0 where there is no memory. */
INSTRUCTIONS int convolve_filters(const bfloat16 *x, const bfloat16 *dy, float *filters, float *bias, int64_t images,
                                  int64_t height, int64_t width, int64_t from, int64_t to) {
    const int64_t count = images * (height / 2) * (width / 2);
    bfloat16 *tiles = malloc(PLACES * STEP(MANY, from) * sizeof *tiles), *nothing = calloc(from + to, sizeof *nothing);
    bfloat16 *given = malloc(PLACES * STEP(MANY, to) * sizeof *given);
    float *sums = calloc(PLACES * from * to, sizeof *sums), *total = calloc(to, sizeof *total);
    const int ready = tiles && nothing && given && sums && total;
    cursor in = {{images, height, width}}, out = in, x_ahead = in, dy_ahead = in;
    if (ready) fetch(x, &x_ahead, MANY, 1, from), fetch(dy, &dy_ahead, MANY, 0, to);
    for (int64_t start = 0; ready && start < count; start += MANY) {
        for (int64_t t = 0; t < MANY; t += TILES) images_paired(tiles + t * from, x, nothing, &in, from, MANY);
        for (int64_t t = 0; t < MANY; t += 2) gradients_paired(given + t * to, total, dy, nothing, &out, to, MANY);
        for (int64_t e = 0; e < PLACES; e++) {
            fetch(x, &x_ahead, MANY / PLACES, 1, from), fetch(dy, &dy_ahead, MANY / PLACES, 0, to);
            for (int64_t k = 0; k < from; k += FILTERS)
                for (int64_t n = 0; n < to; n += COLUMNS)
                    accumulate(sums + (e * from + k) * to + n, tiles + e * STEP(MANY, from) + 2 * k,
                               given + e * STEP(MANY, to) + 2 * n, from, to);
        }
    }
    if (ready) filter_gradient(filters, sums, from, to);
    for (int64_t n = 0; ready && n < to; n++) bias[n] = total[apart(n)];
    free(tiles), free(nothing), free(given), free(sums), free(total);
    return ready;
}
