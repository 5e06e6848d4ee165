// What one core can do at most, for fractions of a limit: multiply-adds from registers, and reading memory.
// Compiled by machine.py with the flags of this machine; 24 independent sums hide every latency.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__)
typedef __m512 vf;
typedef __m512i vi;
#define SET1(x) _mm512_set1_ps(x)
#define SET1I(x) _mm512_set1_epi32(x)
#define FMA "vfmadd231ps"
#define DOT "vpdpbusd"
#else
typedef __m256 vf;
typedef __m256i vi;
#define SET1(x) _mm256_set1_ps(x)
#define SET1I(x) _mm256_set1_epi32(x)
#define FMA "vfmadd231ps"
#define DOT "{vex} vpdpbusd"
#endif

#define TIMES24(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11) \
    F(12) F(13) F(14) F(15) F(16) F(17) F(18) F(19) F(20) F(21) F(22) F(23)

// Each returns the number of operations (a multiplication and an addition are two).
uint64_t f32_multiply_adds(uint64_t rounds) {
    vf a = SET1(1.0f), b = SET1(1e-9f);
#define DECLARE(i) vf s##i = SET1(0.0f);
    TIMES24(DECLARE)
    for (uint64_t r = 0; r < rounds; ++r) {
#define STEP(i) __asm__ volatile(FMA " %1, %2, %0" : "+v"(s##i) : "v"(a), "v"(b));
        TIMES24(STEP)
    }
    return rounds * 24 * 2 * (sizeof(vf) / 4);
}

uint64_t int8_multiply_adds(uint64_t rounds) {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
    vi a = SET1I(0x01010101), b = SET1I(0x01010101);
#define DECLARE_I(i) vi t##i = SET1I(0);
    TIMES24(DECLARE_I)
    for (uint64_t r = 0; r < rounds; ++r) {
#define STEP_I(i) __asm__ volatile(DOT " %1, %2, %0" : "+v"(t##i) : "v"(a), "v"(b));
        TIMES24(STEP_I)
    }
    return rounds * 24 * 2 * sizeof(vi);
#else
    (void)rounds;
    return 0;
#endif
}

// Four streams at once keep more reads in flight than one; every cache line is touched by one load.
uint64_t read_memory(const uint64_t* words, size_t count) {
    const size_t line = 64 / sizeof(uint64_t), quarter = count / (8 * line) * (2 * line);
    uint64_t any[4] = {0};
    for (size_t i = 0; i < quarter; i += 2 * line)
        for (size_t s = 0; s < 4; ++s) {
            const uint64_t* at = words + s * quarter + i;
            any[s] |= at[0] | at[line];
        }
    return any[0] | any[1] | any[2] | any[3];
}
