/* What the C code of a rule is written in: a step's arithmetic, stored numbers, and the operators that C has not.

   DOUBLE makes the arithmetic float64. Each operator means what it does elsewhere in optc, NaN included. Bits are those
   of eager torch as long as the compiler neither contracts, reorders nor approximates: never build this with
   -ffast-math. */

#include <math.h>
#include <stdint.h>

#ifdef DOUBLE
typedef double real;
#define OF(name) name
#else
typedef float real;
#define OF(name) name##f
#endif

#ifdef __clang__
#define EACH_ALONE _Pragma("clang loop vectorize(assume_safety)")
#else
#define EACH_ALONE _Pragma("GCC ivdep")
#endif

/* ---- numbers as they are stored, each named as torch names its dtype */

typedef float float32;
typedef double float64;
typedef uint16_t bfloat16;

static inline real load_float32(float32 x) { return (real)x; }
static inline real load_float64(float64 x) { return (real)x; }
static inline float32 store_float32(real x) { return (float32)x; }
static inline float64 store_float64(real x) { return (float64)x; }

typedef union { float value; uint32_t bits; } word;

static inline real load_bfloat16(bfloat16 x) { return (real)(word){.bits = (uint32_t)x << 16}.value; }

static inline bfloat16 store_bfloat16(real x) {
    uint32_t bits = (word){.value = (float)x}.bits;
    uint32_t nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    return (bfloat16)((bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : nearest);
}

#ifdef __FLT16_MAX__
typedef _Float16 float16;
static inline real load_float16(float16 x) { return (real)x; }
static inline float16 store_float16(real x) { return (float16)(float)x; }
#endif

#define JOINED(a, b) a##b
#define LOAD(type, x) JOINED(load_, type)(x)
#define STORE(type, x) JOINED(store_, type)(x)
#define CAST(type, x) LOAD(type, STORE(type, x))

/* ---- operators */

static inline real smaller(real x, real y) { return x != x ? x : y != y ? y : x < y ? x : y; }
static inline real larger(real x, real y) { return x != x ? x : y != y ? y : x > y ? x : y; }
static inline real clip(real x, real low, real high) { return smaller(larger(x, low), high); }
static inline real lerp(real a, real b, real w) { return a + w * (b - a); }
static inline real square(real x) { return x * x; }
static inline real sign(real x) { return x != x ? x : (real)((x > 0) - (x < 0)); }

static inline real modulo(real x, real y) {
    real r = OF(fmod)(x, y);
    return r == 0 ? OF(copysign)(r, y) : (r < 0) != (y < 0) ? r + y : r;
}

static inline real power(real x, real y) {
    return x < 0 && y != OF(floor)(y) ? (real)NAN : OF(pow)(x, y);
}
