// Activations of hidden units with their slopes, and the losses of outputs.
#pragma once

#include "elementary.hpp"
#include "problem.hpp"

namespace ISA {

// h(x) and dh/dx in double precision, where the slope does not follow from h.
template <Activation KIND> INLINE void with_slope(Doubles x, Doubles& h, Doubles& slope) {
    if constexpr (KIND == Activation::softplus) {
        const Doubles e = exp(-magnitude(x));
        h = choose(x > 0.0, x, Doubles{}) + log1p(e);
        slope = choose(x < 0.0, e, all(1.0)) / (1.0 + e);
    } else {
        Doubles y = choose(x > 39.0, 39.0, x), density, cdf;
        y = choose(y < -39.0, -39.0, y);
        bell_and_cdf(y, density, cdf);
        h = choose(x < -39.0, -0.0, x * cdf);
        slope = cdf + y * density / ROOT_2_PI;
    }
}

// N units in place, and their slopes.
template <Activation KIND, int N, class T> INLINE void activate(Lanes<T>* x, Lanes<T>* slope) {
    if constexpr (KIND == Activation::tanh || KIND == Activation::sigmoid) {
        Many<N * PARTS<T>> h;
        for (int i = 0; i < N * PARTS<T>; ++i) h.at[i] = widen(x[i / PARTS<T>], i % PARTS<T>);
        if constexpr (KIND == Activation::tanh) h = tanh(h);
        if constexpr (KIND == Activation::sigmoid) h = sigmoid(h);
        for (int i = 0; i < N; ++i) x[i] = narrow<T>(&h.at[i * PARTS<T>]);
    }
    for (int i = 0; i < N; ++i) {
        if constexpr (KIND == Activation::tanh) {
            slope[i] = T(1) - x[i] * x[i];
        } else if constexpr (KIND == Activation::sigmoid) {
            slope[i] = x[i] * (T(1) - x[i]);
        } else if constexpr (KIND == Activation::identity) {
            slope[i] = all(T(1));
        } else if constexpr (KIND == Activation::relu) {
            slope[i] = x[i] > 0 ? all(T(1)) : Lanes<T>{};
            x[i] = x[i] < 0 ? Lanes<T>{} : x[i];
        } else {
            Doubles h[PARTS<T>], s[PARTS<T>];
            for (int part = 0; part < PARTS<T>; ++part)
                with_slope<KIND>(widen(x[i], part), h[part], s[part]);
            x[i] = narrow<T>(h);
            slope[i] = narrow<T>(s);
        }
    }
}

// Units (rows, stride) of `count` samples, in place, and their slopes.
template <Activation KIND, class T>
__attribute__((noinline)) void activate_all(Lanes<T>* units, Lanes<T>* slopes, int rows, int stride,
                                            int count) {
    constexpr int TOGETHER = 4 / PARTS<T>;
    for (int i = 0; i < rows; ++i, units += stride, slopes += stride) {
        int n = 0;
        for (; n + TOGETHER <= count; n += TOGETHER)
            activate<KIND, TOGETHER, T>(units + n, slopes + n);
        for (; n < count; ++n) activate<KIND, 1, T>(units + n, slopes + n);
    }
}

template <class T>
void activate_all(Activation kind, Lanes<T>* units, Lanes<T>* slopes, int rows, int stride,
                  int count) {
    switch (kind) {
    case Activation::identity:
        return activate_all<Activation::identity, T>(units, slopes, rows, stride, count);
    case Activation::tanh:
        return activate_all<Activation::tanh, T>(units, slopes, rows, stride, count);
    case Activation::sigmoid:
        return activate_all<Activation::sigmoid, T>(units, slopes, rows, stride, count);
    case Activation::softplus:
        return activate_all<Activation::softplus, T>(units, slopes, rows, stride, count);
    case Activation::relu:
        return activate_all<Activation::relu, T>(units, slopes, rows, stride, count);
    case Activation::gelu:
        return activate_all<Activation::gelu, T>(units, slopes, rows, stride, count);
    }
}

// The largest of the outputs f[0], f[stride], ...
template <class V> INLINE V largest(const V* f, int outputs, int stride) {
    V top = f[0];
    for (int j = 1; j < outputs; ++j) top = f[j * stride] > top ? f[j * stride] : top;
    return top;
}

// dE/df of one sample: f - y, or softmax(f) - y.
template <class T>
INLINE void loss_slope(bool cross_entropy, const Lanes<T>* f, const Lanes<T>* y, Lanes<T>* slope,
                       int outputs, int stride) {
    if (!cross_entropy) {
        for (int j = 0; j < outputs; ++j) slope[j * stride] = f[j * stride] - y[j * stride];
        return;
    }
    const Lanes<T> top = largest(f, outputs, stride);
    Lanes<T> sum = {};
    for (int j = 0; j < outputs; ++j) {
        slope[j * stride] =
            in_double<T>(f[j * stride] - top, [](Doubles part) { return exp(part); });
        sum += slope[j * stride];
    }
    for (int j = 0; j < outputs; ++j) slope[j * stride] = slope[j * stride] / sum - y[j * stride];
}

// 1/2 ||f - y||^2, or ln sum_j e^f_j - sum_j y_j f_j, of one sample in double precision.
INLINE Doubles loss(bool cross_entropy, const Doubles* f, const Doubles* y, int outputs) {
    Doubles sum = {}, product = {};
    if (!cross_entropy) {
        for (int j = 0; j < outputs; ++j) sum += (f[j] - y[j]) * (f[j] - y[j]);
        return 0.5 * sum;
    }
    const Doubles top = largest(f, outputs, 1);
    for (int j = 0; j < outputs; ++j) sum += exp(f[j] - top);
    for (int j = 0; j < outputs; ++j) product += y[j] * f[j];
    return log(sum) + top - product;
}

}  // namespace ISA
