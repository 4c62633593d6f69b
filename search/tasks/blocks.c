/* Layers of a small network in as few passes over memory as they allow, forth and back.

   Images are arrays of pixels, row by row, each pixel its channels in a row. FORMAT is how numbers are stored (float32 or
   bfloat16, in the words of optc's native prelude, which stands before this); all arithmetic is float32. NaN is handed on
   as torch hands it on. */

#define AT(p, pixel) ((p) + (int64_t)(pixel) * channels)
#define EACH(c) EACH_ALONE for (int64_t c = 0; c < channels; c++)
#define TOGETHER 256 /* rows that are summed in float32 before they are added up in float64 */

enum { NOWHERE = 4 };

/* ---- max pooling by 2, ReLU, dropout. `from` says which of its window's four pixels an output came from; NOWHERE where
   ReLU or dropout left nothing. An output is kept where its random bits are at least `dropped`; without bits, all are. */

void pool_forward(const FORMAT *x, const int16_t *bits, FORMAT *y, uint8_t *from, int64_t images, int64_t height,
                  int64_t width, int64_t channels, int64_t dropped, float scale) {
    int16_t certain[channels];
    EACH(i) certain[i] = INT16_MAX;
    for (int64_t line = 0; line < images * (height / 2); line++)
        for (int64_t column = 0; column < width / 2; column++) {
            const FORMAT *a = AT(x, 2 * line * width + 2 * column), *b = AT(a, 1), *c = AT(a, width), *d = AT(c, 1);
            const int64_t out = line * (width / 2) + column;
            FORMAT *to = AT(y, out);
            uint8_t *origin = AT(from, out);
            const int16_t *chance = bits ? AT(bits, out) : certain;
            EACH(i) {
                float best = LOAD(FORMAT, a[i]), next = LOAD(FORMAT, b[i]);
                int32_t place = (next > best) | (next != next);
                best = place ? next : best;
                next = LOAD(FORMAT, c[i]);
                int32_t better = (next > best) | (next != next);
                best = better ? next : best, place = better ? 2 : place;
                next = LOAD(FORMAT, d[i]);
                better = (next > best) | (next != next);
                best = better ? next : best, place = better ? 3 : place;
                const int32_t alive = !(best <= 0), kept = chance[i] >= dropped;
                to[i] = STORE(FORMAT, (alive ? best : 0) * (kept ? scale : 0));
                origin[i] = alive & kept ? place : NOWHERE;
            }
        }
}

void pool_backward(const FORMAT *dy, const uint8_t *from, FORMAT *dx, int64_t images, int64_t height, int64_t width,
                   int64_t channels, float scale) {
    for (int64_t line = 0; line < images * (height / 2); line++)
        for (int64_t column = 0; column < width / 2; column++) {
            FORMAT *a = AT(dx, 2 * line * width + 2 * column), *b = AT(a, 1), *c = AT(a, width), *d = AT(c, 1);
            const int64_t out = line * (width / 2) + column;
            const FORMAT *given = AT(dy, out);
            const uint8_t *origin = AT(from, out);
            EACH(i) {
                const FORMAT g = STORE(FORMAT, LOAD(FORMAT, given[i]) * scale);
                a[i] = origin[i] == 0 ? g : 0;
                b[i] = origin[i] == 1 ? g : 0;
                c[i] = origin[i] == 2 ? g : 0;
                d[i] = origin[i] == 3 ? g : 0;
            }
        }
}

/* ---- batch normalisation in training, then ReLU. `mean` and `spread` are what a channel had in this batch: its mean and
   its variance, of all rows. */

#define SUMMED(sums, term)                                                                                             \
    EACH(i) sums[i] = 0;                                                                                               \
    for (int64_t start = 0; start < rows; start += TOGETHER) {                                                         \
        float part[channels];                                                                                          \
        EACH(i) part[i] = 0;                                                                                           \
        for (int64_t row = start; row < rows && row < start + TOGETHER; row++)                                         \
            EACH(i) part[i] += term;                                                                                   \
        EACH(i) sums[i] += part[i];                                                                                    \
    }

void norm_forward(const FORMAT *x, const float *weight, const float *bias, FORMAT *y, float *mean, float *spread,
                  int64_t rows, int64_t channels, float eps) {
    double sums[channels];
    SUMMED(sums, LOAD(FORMAT, AT(x, row)[i]))
    EACH(i) mean[i] = (float)(sums[i] / rows);
    SUMMED(sums, (LOAD(FORMAT, AT(x, row)[i]) - mean[i]) * (LOAD(FORMAT, AT(x, row)[i]) - mean[i]))
    EACH(i) spread[i] = (float)(sums[i] / rows);
    float slope[channels];
    EACH(i) slope[i] = weight[i] / sqrtf(spread[i] + eps);
    for (int64_t row = 0; row < rows; row++) {
        const FORMAT *from = AT(x, row);
        FORMAT *to = AT(y, row);
        EACH(i) {
            const float value = (LOAD(FORMAT, from[i]) - mean[i]) * slope[i] + bias[i];
            to[i] = STORE(FORMAT, value <= 0 ? 0 : value);
        }
    }
}

void norm_backward(const FORMAT *dy, const FORMAT *x, const float *weight, const float *bias, const float *mean,
                   const float *spread, FORMAT *dx, float *dweight, float *dbias, int64_t rows, int64_t channels,
                   float eps) {
    float slope[channels], scale[channels], shift[channels], turn[channels];
    double sums[channels], products[channels];
    EACH(i) scale[i] = 1 / sqrtf(spread[i] + eps), slope[i] = weight[i] * scale[i];
#define HIGH (LOAD(FORMAT, AT(x, row)[i]) - mean[i])
#define GIVEN (HIGH * slope[i] + bias[i] <= 0 ? 0 : LOAD(FORMAT, AT(dy, row)[i]))
    SUMMED(sums, GIVEN)
    SUMMED(products, GIVEN *HIGH)
    EACH(i) {
        dbias[i] = (float)sums[i];
        dweight[i] = (float)products[i] * scale[i];
        shift[i] = (float)(sums[i] / rows);
        turn[i] = (float)(products[i] / rows) * scale[i] * scale[i];
    }
    for (int64_t row = 0; row < rows; row++)
        EACH(i) AT(dx, row)[i] = STORE(FORMAT, (GIVEN - shift[i] - HIGH * turn[i]) * slope[i]);
}
