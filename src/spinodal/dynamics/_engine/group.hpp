// The working memory of one group of lanes: replicas that are simulated side by side.
#pragma once

#include <memory>
#include <new>

#include "lanes.hpp"
#include "matmul.hpp"
#include "problem.hpp"

namespace ISA {

// Zeroed memory, aligned for vectors, freed at the end.
template <class V> class Buffer {
    struct Free {
        void operator()(V* at) const { ::operator delete[](at, std::align_val_t(64)); }
    };
    std::unique_ptr<V[], Free> memory;

public:
    void allocate(size_t count) {
        const size_t bytes = (count + 1) * sizeof(V);
        memory.reset(static_cast<V*>(::operator new[](bytes, std::align_val_t(64))));
        std::memset(static_cast<void*>(memory.get()), 0, bytes);
    }
    V* get() const { return memory.get(); }
    V& operator[](int64_t i) const { return memory[i]; }
    explicit operator bool() const { return bool(memory); }
};

template <class T> struct Group {
    using V = Lanes<T>;
    static constexpr int N = LANES<T>;

    const Problem& problem;
    int64_t replicas[N];  // their numbers; a short group repeats its first replica
    int64_t dataset[N];
    int filled = 0;

    Buffer<V> weights, first, second, slopes, trainable;
    V decay;

    explicit Group(const Problem& problem) : problem(problem) {
        weights.allocate(problem.weights);
        slopes.allocate(problem.weights);
        if (problem.optimizer != Optimizer::sgd) first.allocate(problem.weights);
        if (problem.optimizer >= Optimizer::adam) second.allocate(problem.weights);
        if (problem.trainable) {
            trainable.allocate(problem.weights);
            for (int i = 0; i < problem.weights; ++i)
                trainable[i] = all(static_cast<const T*>(problem.trainable)[i]);
        }
    }

    Matrix<V> weight(int l) const { return matrix(weights, l); }
    Matrix<V> slope(int l) const { return matrix(slopes, l); }

    // Take the replicas at `start` of the order and on.
    void take(int64_t start) {
        filled = int(problem.replicas - start < N ? problem.replicas - start : N);
        for (int lane = 0; lane < N; ++lane) {
            replicas[lane] = problem.order[start + (lane < filled ? lane : 0)];
            dataset[lane] = problem.dataset_of[replicas[lane]];
        }
    }

    Matrix<V> matrix(const Buffer<V>& from, int l) const {
        const Layer& layer = problem.layers[l];
        return {from.get() + layer.at, layer.columns, 1};
    }

    // Copy columns of an array (rows, replicas) into lanes, and back.
    void load(const void* array, int rows, V* to) const {
        const T* from = static_cast<const T*>(array);
        T* flat = reinterpret_cast<T*>(to);
        for (int64_t i = 0; i < rows; ++i)
            for (int lane = 0; lane < N; ++lane)
                flat[i * N + lane] = from[i * problem.replicas + replicas[lane]];
    }
    void store(const V* lanes, int rows, void* array) const {
        const T* flat = reinterpret_cast<const T*>(lanes);
        T* to = static_cast<T*>(array);
        for (int64_t i = 0; i < rows; ++i)
            for (int lane = 0; lane < filled; ++lane)
                to[i * problem.replicas + replicas[lane]] = flat[i * N + lane];
    }
    void store_doubles(const Doubles* lanes, int rows, double* to) const {
        const double* flat = reinterpret_cast<const double*>(lanes);
        for (int64_t i = 0; i < rows; ++i)
            for (int lane = 0; lane < filled; ++lane)
                to[i * problem.replicas + replicas[lane]] = flat[i * N + lane];
    }

    // Each lane's row of a table (datasets, length), side by side.
    template <class From, class To> void load_table(const From* table, int64_t length, To* to) const {
        From* flat = reinterpret_cast<From*>(to);
        for (int64_t i = 0; i < length; ++i)
            for (int lane = 0; lane < N; ++lane)
                flat[i * N + lane] = table[dataset[lane] * length + i];
    }
};

}  // namespace ISA
