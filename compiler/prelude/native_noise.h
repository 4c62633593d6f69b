/* ---- random numbers */

/* A standard normal number, by Philox 4x32-10 (Salmon et al., 2011), Box and Muller; the key is seed, place and step. */
static inline real noise(const int64_t *key, int64_t at, uint32_t index) {
    uint32_t a = (uint32_t)at, b = (uint32_t)(at >> 32), c = (uint32_t)key[2], d = index;
    uint32_t k0 = (uint32_t)key[1], k1 = (uint32_t)key[0];
    for (int round = 0; round < 10; round++) {
        const uint64_t p = (uint64_t)a * 0xD2511F53, q = (uint64_t)c * 0xCD9E8D57;
        a = (uint32_t)(q >> 32) ^ b ^ k0, b = (uint32_t)q;
        c = (uint32_t)(p >> 32) ^ d ^ k1, d = (uint32_t)p;
        k0 += 0x9E3779B9, k1 += 0xBB67AE85;
    }
    const real u = ((real)a + (real)0.5) / (real)4294967296.0, v = ((real)b + (real)0.5) / (real)4294967296.0;
    return OF(sqrt)(-2 * OF(log)(u)) * OF(cos)((real)6.283185307179586 * v);
}
