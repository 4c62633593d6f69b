/* Layers of a small network in as few passes over memory as they allow, forth and back.

   Images are arrays of pixels, row by row, each pixel its channels in a row. FORMAT is how numbers are stored (float32 or
   bfloat16, in the words of optc's native prelude, which stands before this); all arithmetic is float32. NaN is handed on
   as torch hands it on. */

#define AT(p, pixel) ((p) + (int64_t)(pixel) * channels)
#define EACH_OF(c, count) EACH_ALONE for (int64_t c = 0; c < (count); c++)
#define EACH(c) EACH_OF(c, channels)
#define TOGETHER 256 /* rows that are summed in float32 before they are added up in float64 */
#define BESIDE 32    /* channels */
#define ALWAYS static inline __attribute__((always_inline))

/* `call` for the channels from c on, `count` of them: nearly always as many as the compiler is told here. */
#define IN_BLOCKS(call)                                                                                                \
    for (int64_t c = 0, count; c < channels; c += BESIDE) {                                                            \
        if (channels - c >= BESIDE) {                                                                                  \
            count = BESIDE, call;                                                                                      \
        } else {                                                                                                       \
            count = channels - c, call;                                                                                \
        }                                                                                                              \
    }

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
   its variance, of all rows.

   Sums of a few channels beside each other stay in registers from row to row. */

/* `first` and `second` gain the sums over all rows of two terms, which are of a `row` and a channel i. */
#define SUMMED(first, second, one, other)                                                                              \
    for (int64_t start = 0; start < rows; start += TOGETHER) {                                                         \
        const int64_t end = start + TOGETHER < rows ? start + TOGETHER : rows;                                         \
        float ones[BESIDE] = {0}, others[BESIDE] = {0};                                                                \
        for (int64_t row = start; row < end; row++) EACH_OF(i, count) ones[i] += one, others[i] += other;              \
        EACH_OF(i, count) first[i] += ones[i], second[i] += others[i];                                                 \
    }

#define OVER(mean) (LOAD(FORMAT, AT(x, row)[i]) - mean[i])
#define GIVEN (OVER(mean) * slope[i] + bias[i] <= 0 ? 0 : LOAD(FORMAT, AT(dy, row)[i]))

/* From where deviations are measured before the mean is known: the mean of a few rows. */
ALWAYS void guess_mean(float *guess, const FORMAT *x, int64_t rows, int64_t channels, int64_t count) {
    const int64_t step = (rows + TOGETHER - 1) / TOGETHER | 1; /* odd: not always the same column of an image */
    float sums[BESIDE] = {0};
    for (int64_t row = 0; row < rows; row += step) EACH_OF(i, count) sums[i] += LOAD(FORMAT, AT(x, row)[i]);
    EACH_OF(i, count) guess[i] = sums[i] / ((rows + step - 1) / step);
}

ALWAYS void moments(const FORMAT *x, float *mean, float *spread, int64_t rows, int64_t channels, int64_t count) {
    double sums[BESIDE] = {0}, squares[BESIDE] = {0};
    float guess[BESIDE];
    guess_mean(guess, x, rows, channels, count);
    SUMMED(sums, squares, OVER(guess), OVER(guess) * OVER(guess))
    EACH_OF(i, count) {
        const double off = sums[i] / rows, square = squares[i] / rows - off * off;
        mean[i] = (float)(guess[i] + off);
        spread[i] = (float)(square < 0 ? 0 : square);
    }
}

ALWAYS void normalise(const FORMAT *x, const float *mean, const float *slope, const float *bias, FORMAT *y,
                      int64_t rows, int64_t channels, int64_t count) {
    for (int64_t row = 0; row < rows; row++)
        EACH_OF(i, count) {
            const float value = OVER(mean) * slope[i] + bias[i];
            AT(y, row)[i] = STORE(FORMAT, value <= 0 ? 0 : value);
        }
}

void norm_forward(const FORMAT *x, const float *weight, const float *bias, FORMAT *y, float *mean, float *spread,
                  int64_t rows, int64_t channels, float eps) {
    float slope[channels];
    IN_BLOCKS(moments(x + c, mean + c, spread + c, rows, channels, count))
    EACH(i) slope[i] = weight[i] / sqrtf(spread[i] + eps);
    IN_BLOCKS(normalise(x + c, mean + c, slope + c, bias + c, y + c, rows, channels, count))
}

ALWAYS void sums_back(const FORMAT *dy, const FORMAT *x, const float *mean, const float *slope, const float *bias,
                      double *sums, double *products, int64_t rows, int64_t channels, int64_t count) {
    SUMMED(sums, products, GIVEN, GIVEN *OVER(mean))
}

ALWAYS void pass_back(const FORMAT *dy, const FORMAT *x, const float *mean, const float *slope, const float *bias,
                      const float *shift, const float *turn, FORMAT *dx, int64_t rows, int64_t channels,
                      int64_t count) {
    for (int64_t row = 0; row < rows; row++)
        EACH_OF(i, count) AT(dx, row)[i] = STORE(FORMAT, (GIVEN - shift[i] - OVER(mean) * turn[i]) * slope[i]);
}

void norm_backward(const FORMAT *dy, const FORMAT *x, const float *weight, const float *bias, const float *mean,
                   const float *spread, FORMAT *dx, float *dweight, float *dbias, int64_t rows, int64_t channels,
                   float eps) {
    float slope[channels], scale[channels], shift[channels], turn[channels];
    double sums[channels], products[channels];
    EACH(i) scale[i] = 1 / sqrtf(spread[i] + eps), slope[i] = weight[i] * scale[i], sums[i] = products[i] = 0;
    IN_BLOCKS(sums_back(dy + c, x + c, mean + c, slope + c, bias + c, sums + c, products + c, rows, channels, count))
    EACH(i) {
        dbias[i] = (float)sums[i];
        dweight[i] = (float)products[i] * scale[i];
        shift[i] = (float)(sums[i] / rows);
        turn[i] = (float)(products[i] / rows) * scale[i] * scale[i];
    }
    IN_BLOCKS(pass_back(dy + c, x + c, mean + c, slope + c, bias + c, shift + c, turn + c, dx + c, rows, channels,
                        count))
}
