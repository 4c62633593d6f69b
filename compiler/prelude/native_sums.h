/* ---- sums, in float64 and in one order: within a tile's row side by side, then row by row, then tile by tile */

static inline double plus(double x, double y) { return x + y; }
static inline double most(double x, double y) { return x != x ? x : y != y ? y : x > y ? x : y; }

#define LANES 16
#define ALONE __attribute__((noinline)) static /* it takes long to compile, and calls cost nothing beside it */
#define FOLDED(name, fold, empty)                                                                                      \
    ALONE double name(const real *terms, int64_t n) {                                                                  \
        double all = empty;                                                                                            \
        int64_t at = 0;                                                                                                \
        if (n >= LANES) {                                                                                              \
            double lanes[LANES];                                                                                       \
            for (int lane = 0; lane < LANES; lane++) lanes[lane] = empty;                                              \
            for (; at + LANES <= n; at += LANES)                                                                       \
                for (int lane = 0; lane < LANES; lane++) lanes[lane] = fold(lanes[lane], (double)terms[at + lane]);    \
            for (int lane = 0; lane < LANES; lane++) all = fold(all, lanes[lane]);                                     \
        }                                                                                                              \
        for (; at < n; at++) all = fold(all, (double)terms[at]);                                                       \
        return all;                                                                                                    \
    }                                                                                                                  \
    ALONE void JOINED(name, _each)(double *all, const real *terms, int64_t n) {                                        \
        EACH_ALONE                                                                                                     \
        for (int64_t at = 0; at < n; at++) all[at] = fold(all[at], (double)terms[at]);                                 \
    }                                                                                                                  \
    /* One number a tensor, and one for all of them, of those that tiles have. */                                      \
    ALONE void JOINED(name, _number)(const Work *work, int64_t columns, int64_t column) {                              \
        double all = empty;                                                                                            \
        for (int64_t i = 0; i < work->tensors; i++) {                                                                  \
            double own = empty;                                                                                        \
            for (int64_t tile = work->tiles[i]; tile < work->tiles[i + 1]; tile++)                                     \
                own = fold(own, work->partials[columns * tile + column]);                                              \
            work->reduced[columns * (1 + i) + column] = own;                                                           \
            all = fold(all, own);                                                                                      \
        }                                                                                                              \
        work->reduced[column] = all;                                                                                   \
    }                                                                                                                  \
    /* A number for each row, column or matrix of one tensor, which tiles have parts of. */                            \
    ALONE void JOINED(name, _lines)(double *lines, const double *parts, int64_t n, int64_t n_parts) {                  \
        for (int64_t at = 0; at < n; at++) lines[at] = parts[at];                                                      \
        for (int64_t part = 1; part < n_parts; part++) {                                                               \
            EACH_ALONE                                                                                                 \
            for (int64_t at = 0; at < n; at++) lines[at] = fold(lines[at], parts[part * n + at]);                      \
        }                                                                                                              \
    }

FOLDED(total, plus, 0.0)
FOLDED(largest, most, (double)-INFINITY)
