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
    const Problem& problem;
    Batch_moments<T> moments;
    std::vector<Buffer<V>> below;  // W_l ... W_1 of every layer but the first
    Buffer<V> flow[2];             // A_l^T G, of even and of odd layers
    Buffer<Doubles> seen;
    Program<V> forward, backward;

    // W_l ... W_1
    Matrix<V> reach(int l) const {
        return {l == 0 ? group.weights.get() : below[l].get(), problem.inputs, 1};
    }

    // The products of all layers, then G and the gradients from the last layer to the first.
    void write_programs() {
        const int d = problem.inputs, last = int(problem.layers.size()) - 1;
        for (int l = 1; l <= last; ++l) {
            const Layer& layer = problem.layers[l];
            forward.template add<Finish::store>(group.weight(l), reach(l - 1), reach(l), layer.rows,
                                                d, layer.columns);
        }
        // The flow below the first layer is its gradient.
        auto error = [&](int l) {
            return Matrix<V>{l == 0 ? group.slopes.get() : flow[l % 2].get(), d, 1};
        };
        backward.template add<Finish::minus>(reach(last), {moments.xx.get(), d, 1}, error(last),
                                             problem.outputs, d, d, moments.yx.get());
        for (int l = last; l > 0; --l) {
            const Layer& layer = problem.layers[l];
            backward.template add<Finish::store>(error(l), reach(l - 1).transposed(),
                                                 group.slope(l), layer.rows, layer.columns, d);
            backward.template add<Finish::store>(group.weight(l).transposed(), error(l),
                                                 error(l - 1), layer.columns, d, layer.rows);
        }
    }

public:
    Moments_path(Group<T>& group, const Stretch& stretch)
        : group(group), problem(group.problem), moments(group, stretch),
          below(problem.layers.size()) {
        int widest = 1;
        for (size_t l = 0; l < problem.layers.size(); ++l) {
            const int rows = problem.layers[l].rows;
            below[l].allocate(rows * problem.inputs);
            widest = rows > widest ? rows : widest;
        }
        for (Buffer<V>& buffer : flow) buffer.allocate(widest * problem.inputs);
        seen.allocate(PARTS<T> * problem.outputs * problem.inputs);
        write_programs();
    }

    void prepare() { moments.prepare(); }

    void gradient(const Stretch& stretch, int64_t step) {
        moments.compute(stretch, step);
        forward.run();
        backward.run();
    }

    static int map_columns(const Problem& problem) { return problem.inputs; }

    // The map W_L ... W_1 and the squared norm of all weights.
    void observe(const Stretch& stretch, int64_t look, int size) {
        forward.run();
        const V* map = reach(int(problem.layers.size()) - 1).at;
        for (int i = 0; i < size; ++i)
            for (int part = 0; part < PARTS<T>; ++part)
                seen[i * PARTS<T> + part] = widen(map[i], part);
        const int64_t replicas = problem.replicas;
        group.store_doubles(seen.get(), size, stretch.maps + look * size * replicas);
        store_norms(group, stretch.norms + look * replicas);
    }

};

}  // namespace ISA
