// One matrix product for everything: C[i, j] = first(i, j) + sum_k A[i, k] B[k, j], k ascending.
//
// Elements are vectors of lanes, matrices have strides (a transpose is a swap of strides), and a
// tile of C stays in registers while k runs. The tiling changes no number.
#pragma once

#include "lanes.hpp"

namespace ISA {

template <class V> struct Matrix {
    V* at;
    int64_t row, column;  // strides in vectors
    INLINE V& operator()(int i, int j) const { return at[i * row + j * column]; }
    INLINE Matrix transposed() const { return {at, column, row}; }
};

// 16 registers hold a tile of 9 and what it needs; 32 registers one of 25.
constexpr int TILE = VECTOR_BYTES == 64 ? 5 : 3;

// Tiles as equal as possible: 10 rows are 5 + 5, 7 are 4 + 3.
INLINE int tile_size(int size) {
    const int tiles = (size + TILE - 1) / TILE;
    for (int each = 1; each < TILE; ++each)
        if (each * tiles >= size) return each;
    return TILE;
}

template <int M, int N, class V, class First, class Store>
INLINE void tile(const V* a, int64_t ai, int64_t ak, const V* b, int64_t bk, int64_t bj, int depth,
                 First first, Store store) {
    V c[M][N];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) c[i][j] = first(i, j);
    for (int k = 0; k < depth; ++k) {
        V right[N];
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) {
            right[j] = b[k * bk + j * bj];
            KEEP(right[j]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i) {
            V left = a[i * ai + k * ak];
            KEEP(left);
#pragma GCC unroll 8
            for (int j = 0; j < N; ++j) c[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) store(i, j, c[i][j]);
}

// f(constant) with the constant equal to n, 1 <= n <= MOST.
template <int MOST, class F> INLINE void with_constant(int n, F f) {
    if constexpr (MOST > 1)
        if (n < MOST) return with_constant<MOST - 1>(n, f);
    f(std::integral_constant<int, MOST>{});
}

// C is rows x columns, the sum has `depth` terms.
template <class V, class First, class Store>
INLINE void product(Matrix<V> a, Matrix<V> b, int rows, int columns, int depth, First first,
                    Store store) {
    const int height = tile_size(rows), width = tile_size(columns);
    for (int i = 0; i < rows; i += height)
        with_constant<TILE>(rows - i < height ? rows - i : height, [&](auto m) {
            for (int j = 0; j < columns; j += width)
                with_constant<TILE>(columns - j < width ? columns - j : width, [&](auto n) {
                    tile<decltype(m)::value, decltype(n)::value>(
                        &a(i, 0), a.row, a.column, &b(0, j), b.row, b.column, depth,
                        [&](int p, int q) { return first(i + p, j + q); },
                        [&](int p, int q, V value) { store(i + p, j + q, value); });
                });
        });
}

// C = A B.
template <class V>
__attribute__((noinline)) void multiply(Matrix<V> a, Matrix<V> b, Matrix<V> c, int rows,
                                        int columns, int depth) {
    product(a, b, rows, columns, depth, [](int, int) { return V{}; },
            [&](int i, int j, V value) { c(i, j) = value; });
}

// C += A B, the terms added one after the other to what was there.
template <class V>
__attribute__((noinline)) void accumulate(Matrix<V> a, Matrix<V> b, Matrix<V> c, int rows,
                                          int columns, int depth) {
    product(a, b, rows, columns, depth, [&](int i, int j) { return c(i, j); },
            [&](int i, int j, V value) { c(i, j) = value; });
}

}  // namespace ISA
