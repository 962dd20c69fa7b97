// Random streams of the replicas: Philox words, uniform indices, normals and permutations.
//
// The readable versions are in seeding.py; the numbers are the same to the last bit.
#pragma once

#include "elementary.hpp"
#include "group.hpp"
#include "problem.hpp"

namespace ISA {

// One Philox4x64-10 block (Salmon et al., SC 2011) of every lane, from each of BLOCKS successive
// counters; two blocks at once, because every multiplication waits for the round before it.
template <int BLOCKS>
INLINE void philox(Words key0, Words key1, uint64_t counter, Words (&out)[BLOCKS][4]) {
    constexpr uint64_t M0 = 0xD2E7470EE14C6C93u, M1 = 0xCA5A826395121157u;
    // Three words of the counter are zero and the fourth is that of all lanes, which leaves
    // little of the first round.
    for (int b = 0; b < BLOCKS; ++b) {
        const auto product = (unsigned __int128)(counter + b) * M0;
        out[b][0] = key0;
        out[b][1] = Words{};
        out[b][2] = uint64_t(product >> 64) ^ key1;
        out[b][3] = all(uint64_t(product));
    }
#pragma GCC unroll 9
    for (int round = 1; round < 10; ++round) {
        key0 += 0x9E3779B97F4A7C15u;
        key1 += 0xBB67AE8584CAA73Bu;
#pragma GCC unroll 2
        for (int b = 0; b < BLOCKS; ++b) {
            Words high0, low0, high1, low1;
            full_product(out[b][0], M0, high0, low0);
            full_product(out[b][2], M1, high1, low1);
            out[b][0] = high1 ^ out[b][1] ^ key0;
            out[b][1] = low1;
            out[b][2] = high0 ^ out[b][3] ^ key1;
            out[b][3] = low0;
        }
    }
}

// Logarithm of positive normal numbers to 1e-12, as in seeding.py.
INLINE Doubles short_log(Doubles u) {
    constexpr double ATANH[] = {2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3, 2.0};
    const Words pattern = bits<Words>(u) + (0x3FF0000000000000u - 0x3FE6A09E667F3BCDu);
    const Doubles exponent = to_double(pattern >> 52) - 1023.0;
    const Doubles mantissa =
        bits<Doubles>((pattern & 0x000FFFFFFFFFFFFFu) + 0x3FE6A09E667F3BCDu);
    const Doubles z = (mantissa - 1.0) / (mantissa + 1.0);
    return horner(z * z, ATANH) * z + exponent * 0.6931471805599453;
}

// Box and Muller: two normals from every word, as in seeding.py.
INLINE void box_muller(Words word, Doubles& first, Doubles& second) {
    constexpr double SINE[] = {-1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6, 1};
    constexpr double COSINE[] = {
        1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320, -1.0 / 720, 1.0 / 24, -1.0 / 2, 1};
    const Doubles radius = root(-2.0 * short_log((to_double(word >> 32) + 0.5) * 0x1p-32));
    const Doubles angle =
        (to_double(word & 0x1FFFFFFFu) + 0.5) * (0.78539816339744830962 * 0x1p-29);
    const Doubles square = angle * angle;
    const Doubles sine = horner(square, SINE) * angle, cosine = horner(square, COSINE);
    const Integers swap = (word & (uint64_t(1) << 29)) != 0;
    // Signs are bits: a multiplication by -1 is exactly a change of sign.
    const Doubles x = swap ? sine : cosine, y = swap ? cosine : sine;
    first = bits<Doubles>(bits<Words>(x) ^ ((word & (uint64_t(1) << 30)) << 33)) * radius;
    second = bits<Doubles>(bits<Words>(y) ^ ((word & (uint64_t(1) << 31)) << 32)) * radius;
}

// A stream of all lanes of a group.
template <class T> class Source {
    const Stream& stream;
    Words keys[PARTS<T>][2] = {};

public:
    explicit Source(const Stream& stream) : stream(stream) {}

    void take(const int64_t* replicas) {
        for (int i = 0; stream.keys && i < LANES<T>; ++i)
            for (int half = 0; half < 2; ++half)
                keys[i / LANES<double>][half][i % LANES<double>] =
                    stream.keys[2 * replicas[i] + half];
    }

    // The words of one step: store(number, part, word), in any order; up to seven too many.
    template <class Store> INLINE void each(uint64_t step, int count, Store store) const {
        const uint64_t counter = step * stream.blocks() + 1;
        for (int part = 0; part < PARTS<T>; ++part)
            for (int at = 0; at < count; at += 8) {
                Words out[2][4];
                philox(keys[part][0], keys[part][1], counter + at / 4, out);
#pragma GCC unroll 8
                for (int i = 0; i < 8; ++i) store(at + i, part, out[i / 4][i % 4]);
            }
    }

    // Room for the normals of a step.
    int64_t room() const { return (2 * int64_t(stream.words) + 8) * PARTS<T>; }

    // Standard normals of one step, out[number * PARTS + part]: the cosine partners of all words,
    // then the sines.
    void normals(uint64_t step, Doubles* out) const {
        const int half = stream.words;
        each(step, half, [&](int i, int part, Words word) {
            if (i < half)
                box_muller(word, out[int64_t(i) * PARTS<T> + part],
                           out[int64_t(half + i) * PARTS<T> + part]);
        });
    }
};

// A uniform permutation of 0 ... n-1 in every lane: the stable order of the high halves of n
// words. They are uniform, so that n buckets leave each lane almost sorted.
template <class T> class Shuffler {
    static constexpr int N = LANES<T>;
    Buffer<Words> words;       // (n, PARTS)
    Buffer<uint64_t> sorted;   // (n)
    Buffer<uint32_t> buckets;  // (2^bits + 1)
    int n = 0, shift = 63;

public:
    void allocate(int count) {
        n = count;
        while ((int64_t(1) << (64 - shift)) < n) --shift;
        words.allocate((int64_t(n) + 8) * PARTS<T>);
        sorted.allocate(n);
        buckets.allocate((size_t(1) << (64 - shift)) + 1);
    }

    // out[number * LANES + lane], times `row`.
    void permute(const Source<T>& source, int64_t epoch, uint64_t row, uint64_t* out) {
        source.each(epoch, n, [&](int i, int part, Words word) {
            words[i * PARTS<T> + part] = (word & ~uint64_t(0xFFFFFFFFu)) | uint64_t(i);
        });
        const uint64_t* keys = reinterpret_cast<const uint64_t*>(words.get());
        const int64_t count = int64_t(1) << (64 - shift);
        for (int lane = 0; lane < N; ++lane) {
            std::memset(buckets.get(), 0, (count + 1) * sizeof(uint32_t));
            for (int i = 0; i < n; ++i) ++buckets[(keys[i * N + lane] >> shift) + 1];
            for (int64_t b = 0; b < count; ++b) buckets[b + 1] += buckets[b];
            for (int i = 0; i < n; ++i) {
                const uint64_t key = keys[i * N + lane];
                sorted[buckets[key >> shift]++] = key;
            }
            for (int i = 1; i < n; ++i) {
                const uint64_t key = sorted[i];
                int at = i;
                for (; at > 0 && sorted[at - 1] > key; --at) sorted[at] = sorted[at - 1];
                sorted[at] = key;
            }
            for (int i = 0; i < n; ++i) out[i * N + lane] = (sorted[i] & 0xFFFFFFFFu) * row;
        }
    }
};

}  // namespace ISA
