// Exponential, logarithm and their kin, operation for operation as in elementary.py.
#pragma once

#include "lanes.hpp"

namespace ISA {

constexpr double LN2_HIGH = 0.6931471803691238, LN2_LOW = 1.9082149292705877e-10;
constexpr double ROOT_2_PI = 2.5066282746310002;
constexpr double MAGIC = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to whole numbers

constexpr double EXP[] = {
    2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06,
    2.4801521295954376e-05, 0.00019841269863053618, 0.0013888888917213717,
    0.008333333333330062, 0.04166666666662413, 0.16666666666666669, 0.5000000000000001};
constexpr double LOG[] = {
    0.1461929179633784, 0.15331491423923274, 0.18182896057222123, 0.22222211039553197,
    0.2857142862655954, 0.39999999999898217, 0.666666666666667};
constexpr double TAIL[] = {
    1.0889380934880663e-09, 1.5244704858559764e-09, -1.119437840894321e-08,
    -1.633228034396084e-08, 7.722325398378076e-08, 1.0006159151343131e-07,
    -5.313255910805055e-07, -3.71151543484626e-07, 3.894635789957239e-06,
    -1.6264748469964017e-06, -2.6323090824614653e-05, 6.095349674626802e-05,
    7.103421523313722e-05, -0.0007282608302095371, 0.002071578155854031,
    -0.0030895224234491554, 0.0005615313779803553, 0.010727154658810011,
    -0.035440762439448374, 0.07354959015598576, -0.11750491854901052, 0.269217567412522};

template <int N> INLINE Doubles horner(Doubles x, const double (&coefficients)[N]) {
    Doubles total = all(coefficients[0]);
    for (int i = 1; i < N; ++i) total = total * x + coefficients[i];
    return total;
}

INLINE Doubles choose(Integers where, Doubles yes, Doubles no) { return where ? yes : no; }
INLINE Doubles choose(Integers where, double yes, Doubles no) { return where ? all(yes) : no; }

INLINE bool any(Integers where) {
#if defined(__AVX512F__)
    return _mm512_movepi64_mask(__m512i(where)) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_pd(__m256d(where)) != 0;
#elif defined(__SSE2__)
    return _mm_movemask_pd(__m128d(where)) != 0;
#else
    bool found = false;
    for (int i = 0; i < LANES<double>; ++i) found |= where[i] != 0;
    return found;
#endif
}

// The sign of y on the magnitude of x.
INLINE Doubles with_sign(Doubles x, Doubles y) {
    constexpr uint64_t SIGN = uint64_t(1) << 63;
    return bits<Doubles>((bits<Words>(x) & ~SIGN) | (bits<Words>(y) & SIGN));
}

// Several independent arguments at once: a processor looks too few operations ahead to find enough
// to do in one long chain.
template <int N> struct Many {
    Doubles at[N];
};
#define EACH for (int i = 0; i < N; ++i)

// x = n ln 2 + r: p = e^r - 1, and the whole number n stands in the last bits of `shifted`.
template <int N> INLINE void reduce(const Many<N>& x, Many<N>& p, Many<N>& shifted) {
    Many<N> r, n, total;
    EACH shifted.at[i] = x.at[i] * 1.4426950408889634 + MAGIC;
    EACH n.at[i] = shifted.at[i] - MAGIC;
    EACH r.at[i] = x.at[i] - n.at[i] * LN2_HIGH;
    EACH r.at[i] = r.at[i] - n.at[i] * LN2_LOW;
    EACH total.at[i] = all(EXP[0]);
#pragma GCC unroll 9
    for (int c = 1; c < 10; ++c) EACH total.at[i] = total.at[i] * r.at[i] + EXP[c];
    EACH p.at[i] = r.at[i] + r.at[i] * r.at[i] * total.at[i];
}
INLINE Integers whole(Doubles shifted) { return Integers(bits<Words>(shifted) - bits<uint64_t>(MAGIC)); }
INLINE Doubles power_of_two(Integers n) { return bits<Doubles>(Words(n + 1023) << 52); }

template <int N> INLINE Many<N> exp(Many<N> x) {
    Many<N> p, shifted, result;
    Integers usual = ~Integers{};
    EACH usual &= magnitude(x.at[i]) < 700.0;
    if (!any(~usual)) {
        // Nothing overflows or is denormal: the power of two goes straight into the exponent.
        reduce(x, p, shifted);
        EACH result.at[i] =
            bits<Doubles>(bits<Words>(1.0 + p.at[i]) + (bits<Words>(shifted.at[i]) << 52));
        return result;
    }
    EACH x.at[i] = choose(x.at[i] > 800.0, 800.0, x.at[i]);
    EACH x.at[i] = choose(x.at[i] < -800.0, -800.0, x.at[i]);
    reduce(x, p, shifted);
    EACH {
        const Integers n = whole(shifted.at[i]), half = n >> 1;
        result.at[i] = (1.0 + p.at[i]) * power_of_two(half) * power_of_two(n - half);
    }
    return result;
}
INLINE Doubles exp(Doubles x) { return exp(Many<1>{{x}}).at[0]; }

template <int N> INLINE Many<N> expm1(const Many<N>& x) {
    Many<N> y, p, shifted, result;
    EACH y.at[i] = choose(x.at[i] > 710.0, 710.0, x.at[i]);
    EACH y.at[i] = choose(y.at[i] < -60.0, -60.0, y.at[i]);
    reduce(y, p, shifted);
    EACH {
        const Doubles scale = power_of_two(whole(shifted.at[i]) - 1);
        result.at[i] = 2.0 * (p.at[i] * scale + (scale - 0.5));
    }
    EACH result.at[i] = choose(magnitude(x.at[i]) < 0x1p-54, x.at[i], result.at[i]);
    return result;
}
INLINE Doubles expm1(Doubles x) { return expm1(Many<1>{{x}}).at[0]; }

INLINE Doubles log(Doubles x) {
    constexpr double INFINITE = __builtin_inf();
    const Integers denormal = x < 0x1p-1022;
    const Doubles y = choose(denormal, x * 0x1p54, x);
    const Words pattern = bits<Words>(y) + (0x3FF0000000000000u - 0x3FE6A09E667F3BCDu);
    const Doubles exponent =
        (to_double(pattern >> 52) - 1023.0) - choose(denormal, 54.0, Doubles{});
    const Doubles f =
        bits<Doubles>((pattern & 0x000FFFFFFFFFFFFFu) + 0x3FE6A09E667F3BCDu) - 1.0;
    const Doubles s = f / (2.0 + f), z = s * s, half = 0.5 * f * f;
    const Doubles inner = s * (half + z * horner(z, LOG)) + exponent * LN2_LOW;
    Doubles result = exponent * LN2_HIGH - ((half - inner) - f);
    result = choose(x == 0.0, -INFINITE, result);
    result = choose(x == INFINITE, INFINITE, result);
    return choose(x >= 0.0, result, all(__builtin_nan("")));
}

INLINE Doubles log1p(Doubles x) {
    constexpr double INFINITE = __builtin_inf();
    const Doubles u = 1.0 + x;
    Doubles result = log(u) + (x - (u - 1.0)) / u;
    result = choose(u == 0.0, -INFINITE, result);
    result = choose(u == INFINITE, INFINITE, result);
    return choose(magnitude(x) < 0x1p-54, x, result);
}

template <int N> INLINE Many<N> tanh(const Many<N>& x) {
    Many<N> t;
    EACH t.at[i] = magnitude(x.at[i]);
    EACH t.at[i] = 2.0 * choose(t.at[i] > 20.0, 20.0, t.at[i]);
    t = expm1(t);
    EACH t.at[i] = with_sign(t.at[i] / (t.at[i] + 2.0), x.at[i]);
    return t;
}

template <int N> INLINE Many<N> sigmoid(const Many<N>& x) {
    Many<N> e;
    EACH e.at[i] = -magnitude(x.at[i]);
    e = exp(e);
    EACH e.at[i] = choose(x.at[i] < 0.0, e.at[i], all(1.0)) / (1.0 + e.at[i]);
    return e;
}

INLINE Doubles softplus(Doubles x) {
    return choose(x > 0.0, x, Doubles{}) + log1p(exp(-magnitude(x)));
}

INLINE Doubles bell(Doubles x) {
    const Doubles lead = bits<Doubles>(bits<Words>(x) & ~uint64_t(0x7FFFFFF));
    const Doubles d = 0.5 * (x - lead) * (x + lead);
    return exp(-0.5 * lead * lead) * (1.0 - d * (1.0 - d * (0.5 - d * 0.16666666666666666)));
}

INLINE void bell_and_cdf(Doubles x, Doubles& density, Doubles& cdf) {
    Doubles z = magnitude(x);
    z = choose(z > 39.0, 39.0, z);
    density = bell(z);
    const Doubles tail = density * (horner((z - 5.0) / (z + 5.0), TAIL) / (1.0 + 0.5 * z));
    cdf = choose(x > 0.0, 1.0 - tail, tail);
}

INLINE Doubles gelu(Doubles x) {
    Doubles density, cdf;
    bell_and_cdf(x, density, cdf);
    return choose(x < -39.0, -0.0, x * cdf);
}

INLINE Doubles gelu_slope(Doubles x) {
    Doubles y = choose(x > 39.0, 39.0, x), density, cdf;
    y = choose(y < -39.0, -39.0, y);
    bell_and_cdf(y, density, cdf);
    return cdf + y * density / ROOT_2_PI;
}

#undef EACH

}  // namespace ISA
