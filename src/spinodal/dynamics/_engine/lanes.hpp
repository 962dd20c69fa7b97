// Vectors of neighbouring replicas: one lane is one replica, and a lane never looks at another.
//
// Everything lives in a namespace named after the instruction set, because this file is compiled
// once for each of them and the linker must not merge the copies.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define ISA avx512
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX2__)
#define ISA avx2
constexpr int VECTOR_BYTES = 32;
#else
#define ISA generic
constexpr int VECTOR_BYTES = 16;
#endif

#define INLINE inline __attribute__((always_inline))

// Keeps a value in a register: read again from memory it would cost a load for every use.
#if defined(__SSE2__)
#define KEEP(value) asm("" : "+v"(value))
#else
#define KEEP(value)
#endif

namespace ISA {

template <class T> struct Lane_type {
    typedef T type __attribute__((vector_size(VECTOR_BYTES)));
};
template <class T> using Lanes = typename Lane_type<T>::type;
template <class T> constexpr int LANES = VECTOR_BYTES / sizeof(T);
// A vector of floats is as long as two of doubles, in which its elementary functions are computed.
template <class T> constexpr int PARTS = sizeof(double) / sizeof(T);

typedef Lanes<double> Doubles;
typedef Lanes<int64_t> Integers;
typedef Lanes<uint64_t> Words;
typedef float Half __attribute__((vector_size(VECTOR_BYTES / 2)));

template <class To, class From> INLINE To bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof(To));
    return to;
}

template <class T> INLINE Lanes<T> all(T value) { return value - Lanes<T>{}; }

// Unsigned integers below 2^52 as doubles, exactly: they are put into the mantissa of 2^52.
INLINE Doubles to_double(Words small) {
    return bits<Doubles>(small | 0x4330000000000000u) - 0x1p52;
}

// Products of the low halves, 32 times 32 bits.
INLINE Words low_product(Words a, Words b) {
#if defined(__AVX512F__)
    return Words(_mm512_mul_epu32(__m512i(a), __m512i(b)));
#elif defined(__AVX2__)
    return Words(_mm256_mul_epu32(__m256i(a), __m256i(b)));
#elif defined(__SSE2__)
    return Words(_mm_mul_epu32(__m128i(a), __m128i(b)));
#else
    return (a & 0xFFFFFFFFu) * (b & 0xFFFFFFFFu);
#endif
}

// The 128-bit products with a constant.
INLINE void full_product(Words a, uint64_t b, Words& high, Words& low) {
#if defined(__AVX2__)
    const Words b0 = all(b & 0xFFFFFFFFu), b1 = all(b >> 32), a1 = a >> 32;
    const Words p00 = low_product(a, b0), p01 = low_product(a, b1);
    const Words p10 = low_product(a1, b0), p11 = low_product(a1, b1);
    const Words one = p01 + (p00 >> 32), two = p10 + (one & 0xFFFFFFFFu);
    high = p11 + (one >> 32) + (two >> 32);
    // The low half of p00 below the low half of `two`.
#if defined(__AVX512F__)
    low = Words(_mm512_mask_shuffle_epi32(__m512i(p00), 0xAAAA, __m512i(two), _MM_PERM_CCAA));
#else
    low = Words(_mm256_blend_epi32(__m256i(p00), __m256i(two << 32), 0xAA));
#endif
#else
    for (int i = 0; i < LANES<uint64_t>; ++i) {
        const auto product = (unsigned __int128)a[i] * b;
        high[i] = uint64_t(product >> 64);
        low[i] = uint64_t(product);
    }
#endif
}

INLINE Doubles root(Doubles x) {
#if defined(__AVX512F__)
    return _mm512_sqrt_pd(x);
#elif defined(__AVX2__)
    return _mm256_sqrt_pd(x);
#elif defined(__SSE2__)
    return _mm_sqrt_pd(x);
#else
    for (int i = 0; i < LANES<double>; ++i) x[i] = __builtin_sqrt(x[i]);
    return x;
#endif
}

INLINE Lanes<float> root(Lanes<float> x) {
#if defined(__AVX512F__)
    return _mm512_sqrt_ps(x);
#elif defined(__AVX2__)
    return _mm256_sqrt_ps(x);
#elif defined(__SSE2__)
    return _mm_sqrt_ps(x);
#else
    for (int i = 0; i < LANES<float>; ++i) x[i] = __builtin_sqrtf(x[i]);
    return x;
#endif
}

INLINE Doubles magnitude(Doubles x) { return bits<Doubles>(bits<Words>(x) & ~(uint64_t(1) << 63)); }
INLINE Lanes<float> magnitude(Lanes<float> x) {
    return bits<Lanes<float>>(bits<Lanes<uint32_t>>(x) & ~(uint32_t(1) << 31));
}

// Lanes number `part` of x as doubles, and back, rounded.
INLINE Doubles widen(Doubles x, int) { return x; }
INLINE Doubles widen(Lanes<float> x, int part) {
    Half halves[2];
    std::memcpy(halves, &x, sizeof x);
    return __builtin_convertvector(halves[part], Doubles);
}
template <class T> INLINE Lanes<T> narrow(const Doubles* parts);
template <> INLINE Doubles narrow<double>(const Doubles* parts) { return parts[0]; }
template <> INLINE Lanes<float> narrow<float>(const Doubles* parts) {
    Half halves[2] = {
        __builtin_convertvector(parts[0], Half), __builtin_convertvector(parts[1], Half)};
    Lanes<float> x;
    std::memcpy(&x, halves, sizeof x);
    return x;
}

// f applied in double precision, whatever the precision of x.
template <class T, class F> INLINE Lanes<T> in_double(Lanes<T> x, F f) {
    Doubles parts[PARTS<T>];
    for (int part = 0; part < PARTS<T>; ++part) parts[part] = f(widen(x, part));
    return narrow<T>(parts);
}

}  // namespace ISA
