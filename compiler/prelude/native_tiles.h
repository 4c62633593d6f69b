/* ---- what there is to do: tiles of matrices x HEIGHT rows x WIDTH columns, counted through all tensors

   Where a rule does not know rows from columns a tensor is one row. */

typedef struct {
    const int64_t *tiles;   /* how many come before each tensor's, and how many there are */
    const int64_t *extents; /* of each tensor: matrices, rows and columns */
    const int64_t *rows;    /* of each tensor: its row of scalars */
    void *const *addresses; /* of each tensor: its operands */
    const double *scalars;
    const double *counts;   /* of all tensors, and then of each: elements, and what else a mean is taken of */
    double *reduced;        /* of all tensors, and then of each: what was summed up */
    double *partials;       /* the same of each tile */
    const int64_t *keys;    /* of each tensor: seed, place and step, what its random numbers depend on */
    int64_t tensors;
} Work;

typedef struct {
    int64_t matrix, matrix_end, row, row_end, col, col_end, down, across, n_across;
} Tile;

static inline int64_t pieces(int64_t n, int64_t size) { return n > size ? (n + size - 1) / size : 1; }
static inline int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

/* Small matrices share a tile. */
static inline int64_t sharing(const int64_t *extent) {
    const int64_t size = extent[1] * extent[2] > 0 ? extent[1] * extent[2] : 1;
    return extent[1] <= HEIGHT && extent[2] <= WIDTH ? HEIGHT * WIDTH / size : 1;
}

static inline Tile tile_of(const int64_t *extent, int64_t number) {
    const int64_t n_down = pieces(extent[1], HEIGHT), n_across = pieces(extent[2], WIDTH), each = sharing(extent);
    const int64_t across = number % n_across, down = number / n_across % n_down;
    const int64_t matrix = number / n_across / n_down * each, row = HEIGHT * down, col = WIDTH * across;
    return (Tile){
        matrix, lesser(matrix + each, extent[0]), row, lesser(row + HEIGHT, extent[1]), col,
        lesser(col + WIDTH, extent[2]), down, across, n_across,
    };
}

static inline Tile whole(const int64_t *extent) {
    return (Tile){0, extent[0], 0, extent[1], 0, extent[2], 0, 0, 1};
}

static inline int64_t owner_of(const Work *work, int64_t number) {
    int64_t i = 0;
    while (number >= work->tiles[i + 1]) i++;
    return i;
}

/* How many tiles come before each tensor's, and how many its matrices take downwards and across. Every tensor has one,
   also if it has no elements. */
void count(int64_t tensors, const int64_t *extents, int64_t *tiles, int64_t *grid) {
    for (int64_t i = tiles[0] = 0; i < tensors; i++, extents += 3, grid += 2) {
        grid[0] = pieces(extents[1], HEIGHT), grid[1] = pieces(extents[2], WIDTH);
        tiles[i + 1] = tiles[i] + pieces(extents[0], sharing(extents)) * grid[0] * grid[1];
    }
}
