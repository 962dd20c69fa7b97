// The path of moments: gradients of linear networks from the second moments of a batch.
#pragma once

#include "batches.hpp"
#include "matmul.hpp"
#include "observe.hpp"

namespace ISA {

// Of 1/2 <||y - W x||^2>: with G = W <x x^T> - <y x^T>, A_l = W_L ... W_{l+1} and
// B_l = W_{l-1} ... W_1, dE/dW_l = A_l^T G B_l^T.
template <class T> class Moments_path {
    using V = Lanes<T>;
    Group<T>& group;
    Batch_moments<T> moments;
    Buffer<V> below;  // W_l ... W_1 for every layer but the first, one after the other
    Buffer<V> flow, next;
    Buffer<Doubles> seen;

public:
    Moments_path(Group<T>& group, const Stretch& stretch)
        : group(group), moments(group, stretch) {
        int64_t size = 0, widest = 0;
        for (const Layer& layer : group.problem.layers) {
            size += layer.rows * group.problem.inputs;
            widest = layer.rows > widest ? layer.rows : widest;
        }
        below.allocate(size);
        flow.allocate(widest * group.problem.inputs);
        next.allocate(widest * group.problem.inputs);
        seen.allocate(PARTS<T> * group.problem.outputs * group.problem.inputs);
    }

    void prepare() { moments.prepare(); }

    Matrix<V> weight(int l) const {
        const Layer& layer = group.problem.layers[l];
        return {&group.weights[layer.at], layer.columns, 1};
    }

    // W_l ... W_1 for all l; the last one is returned.
    Matrix<V> products() {
        const int d = group.problem.inputs;
        Matrix<V> reach = weight(0);
        V* to = below.get();
        for (size_t l = 1; l < group.problem.layers.size(); ++l) {
            const Layer& layer = group.problem.layers[l];
            const Matrix<V> result{to, d, 1};
            multiply(weight(l), reach, result, layer.rows, d, layer.columns);
            reach = result;
            to += layer.rows * d;
        }
        return reach;
    }

    void gradient(const Stretch& stretch, int64_t step) {
        const Problem& problem = group.problem;
        const int d = problem.inputs, p = problem.outputs;
        moments.compute(stretch, step);
        const Matrix<V> map = products();
        Matrix<V> error{flow.get(), d, 1}, lower{next.get(), d, 1};
        product(map, {moments.xx.get(), d, 1}, p, d, d, [](int, int) { return V{}; },
                [&](int i, int j, V value) { error(i, j) = value - moments.yx[i * d + j]; });
        Matrix<V> reach = map;
        for (int l = int(problem.layers.size()) - 1; l > 0; --l) {
            const Layer& layer = problem.layers[l];
            reach = l == 1 ? weight(0) : Matrix<V>{reach.at - problem.layers[l - 1].rows * d, d, 1};
            multiply(error, reach.transposed(), {&group.slopes[layer.at], layer.columns, 1},
                     layer.rows, layer.columns, d);
            if (l == 1) lower.at = &group.slopes[0];
            multiply(weight(l).transposed(), error, lower, layer.columns, d, layer.rows);
            std::swap(error, lower);
        }
        if (problem.layers.size() == 1)
            std::memcpy(group.slopes.get(), flow.get(), p * d * sizeof(V));
    }

    static int map_columns(const Problem& problem) { return problem.inputs; }

    // The map W_L ... W_1 and the squared norm of all weights.
    void observe(const Stretch& stretch, int64_t look, int size) {
        const Matrix<V> map = products();
        for (int i = 0; i < size; ++i)
            for (int part = 0; part < PARTS<T>; ++part)
                seen[i * PARTS<T> + part] = widen(map.at[i], part);
        const int64_t replicas = group.problem.replicas;
        group.store_doubles(seen.get(), size, stretch.maps + look * size * replicas);
        store_norms(group, stretch.norms + look * replicas);
    }

};

}  // namespace ISA
