// One matrix product for everything: C[i, j] = sum_k A[i, k] B[k, j], k ascending.
//
// Elements are vectors of lanes, matrices have strides (a transpose is a swap of strides), and a
// tile of C stays in registers while k runs. Tiling changes no number. The matrices of a network
// lie at fixed places, so that its products are cut into tiles once: a program, run at every step.
#pragma once

#include <utility>
#include <vector>

#include "lanes.hpp"

namespace ISA {

template <class V> struct Matrix {
    V* at;
    int64_t row, column;  // strides in vectors
    Matrix transposed() const { return {at, column, row}; }
};

// What becomes of a sum: it is stored, added to what is there (term by term), reduced by another
// matrix, or multiplied with one, element by element. C and the other matrix lie row by row.
enum class Finish { store, add, minus, times };

template <class V> struct Tile {
    void (*run)(const Tile&);
    const V *a, *b, *other;
    V* c;
    int64_t a_row, a_column, b_row, b_column, c_row;
    int depth;
};

// 32 registers hold a tile of 25 and what it needs, 16 registers one of 10.
constexpr int TILE_ROWS = 5, TILE_COLUMNS = VECTOR_BYTES == 64 ? 5 : 2;

template <class V, Finish FINISH, int M, int N>
__attribute__((noinline)) void run_tile(const Tile<V>& tile) {
    const V *a = tile.a, *b = tile.b;
    const int64_t a_row = tile.a_row, a_column = tile.a_column;
    const int64_t b_row = tile.b_row, b_column = tile.b_column, c_row = tile.c_row;
    V c[M][N];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) c[i][j] = FINISH == Finish::add ? tile.c[i * c_row + j] : V{};
    for (int k = tile.depth; k > 0; --k, a += a_column, b += b_row) {
        V right[N];
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) {
            right[j] = b[j * b_column];
            KEEP(right[j]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < M; ++i) {
            V left = a[i * a_row];
            KEEP(left);
#pragma GCC unroll 8
            for (int j = 0; j < N; ++j) c[i][j] += left * right[j];
        }
    }
    V* to = tile.c;
    const V* other = tile.other;
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i, to += c_row, other += c_row)
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) {
            if constexpr (FINISH == Finish::minus) c[i][j] -= other[j];
            if constexpr (FINISH == Finish::times) c[i][j] *= other[j];
            to[j] = c[i][j];
        }
}

template <class V, Finish FINISH> struct Tile_table {
    using Run = void (*)(const Tile<V>&);
    Run run[TILE_ROWS][TILE_COLUMNS];

    template <int M, int... N>
    constexpr void fill_row(std::integer_sequence<int, N...>) {
        ((run[M][N] = run_tile<V, FINISH, M + 1, N + 1>), ...);
    }
    template <int... M> constexpr void fill(std::integer_sequence<int, M...>) {
        (fill_row<M>(std::make_integer_sequence<int, TILE_COLUMNS>()), ...);
    }
    constexpr Tile_table() : run() { fill(std::make_integer_sequence<int, TILE_ROWS>()); }
};

// Products that are computed one after the other.
template <class V> class Program {
    std::vector<Tile<V>> tiles;

    // Tiles as equal as possible: 10 rows are 5 + 5, 7 are 4 + 3.
    static int even(int size, int most) {
        const int pieces = (size + most - 1) / most;
        return (size + pieces - 1) / pieces;
    }

public:
    // C is rows x columns, the sums have `depth` terms; `other` lies as C does.
    template <Finish FINISH>
    void add(Matrix<V> a, Matrix<V> b, Matrix<V> c, int rows, int columns, int depth,
             const V* other = nullptr) {
        static constexpr Tile_table<V, FINISH> table{};
        const int height = even(rows, TILE_ROWS), width = even(columns, TILE_COLUMNS);
        for (int i = 0; i < rows; i += height)
            for (int j = 0; j < columns; j += width) {
                const int m = rows - i < height ? rows - i : height;
                const int n = columns - j < width ? columns - j : width;
                const int64_t at = i * c.row + j;
                tiles.push_back({table.run[m - 1][n - 1], a.at + i * a.row, b.at + j * b.column,
                                 other + (FINISH >= Finish::minus ? at : 0), c.at + at, a.row,
                                 a.column, b.row, b.column, c.row, depth});
            }
    }

    bool empty() const { return tiles.empty(); }

    void run() const {
        for (const Tile<V>& tile : tiles) tile.run(tile);
    }
};

}  // namespace ISA
