// The path of samples: gradients by backpropagation, sample after sample, for any network.
#pragma once

#include "activation.hpp"
#include "batches.hpp"
#include "matmul.hpp"
#include "observe.hpp"

namespace ISA {

template <class T> class Samples_path {
    using V = Lanes<T>;
    static constexpr int N = LANES<T>, P = PARTS<T>;

    Group<T>& group;
    const Problem& problem;
    const int S;  // samples that go through the network side by side
    Chosen<T> chosen;
    Fresh<T> fresh;
    Source<T> gradients, labels;
    Buffer<Doubles> label_normals, gradient_normals;
    std::vector<Buffer<V>> units, slopes;  // of every layer, (unit, S); units[0] are the inputs
    Buffer<V> targets, delta, lower;       // (unit, S)
    Buffer<Doubles> sums;                  // (outputs, real_inputs + 1, P)
    Buffer<Doubles> output, target;        // (outputs)
    std::vector<std::vector<Program<V>>> forward_programs;  // for 1 ... S samples, of every layer
    std::vector<Program<V>> backward_programs;

public:
    Samples_path(Group<T>& group, const Stretch& stretch)
        : group(group), problem(group.problem), S(samples_at_once(problem)), chosen(problem, stretch.batch, 1), fresh(problem),
          gradients(problem.gradients), labels(problem.labels), units(problem.layers.size() + 1),
          slopes(problem.layers.size()), forward_programs(S), backward_programs(S) {
        int widest = 1;
        units[0].allocate(problem.inputs * S);
        for (size_t l = 0; l < problem.layers.size(); ++l) {
            const int rows = problem.layers[l].rows;
            units[l + 1].allocate(rows * S);
            slopes[l].allocate(rows * S);
            widest = rows > widest ? rows : widest;
        }
        targets.allocate(problem.outputs * S);
        delta.allocate(widest * S);
        lower.allocate(widest * S);
        sums.allocate(problem.outputs * map_columns(problem) * P);
        output.allocate(problem.outputs);
        target.allocate(problem.outputs);
        if (problem.label_noise > 0) label_normals.allocate(labels.room());
        if (problem.noise == Gradient_noise::local) gradient_normals.allocate(gradients.room());
    }

    // Each load of a weight serves all samples side by side. While the weights fit into a core's
    // cache a few samples do; from further away they come too slowly for that. The number of
    // samples changes no result.
    static int samples_at_once(const Problem& problem) {
        constexpr int64_t NEAR = 512 << 10;
        return problem.weights * int64_t(sizeof(V)) < NEAR ? 8 : 32;
    }

    static int map_columns(const Problem& problem) { return problem.real_inputs + 1; }

    void prepare() {
        chosen.take(group.replicas);
        fresh.take(group.replicas);
        gradients.take(group.replicas);
        labels.take(group.replicas);
    }

    // Mean over the batch of delta_l h_{l-1}^T with delta_L = dE/df and
    // delta_{l-1} = (W_l^T delta_l) slope_{l-1}.
    void gradient(const Stretch& stretch, int64_t step) {
        int size = problem.samples;
        const uint64_t* index = nullptr;
        if (problem.sampling == Sampling::fresh) {
            size = stretch.batch;
            fresh.draw(step);
        } else if (problem.sampling != Sampling::exact) {
            chosen.choose(stretch, step);
            size = chosen.size;
            index = chosen.place;
        }
        if (problem.label_noise > 0) labels.normals(step, label_normals.get());
        const bool weighted = problem.noise == Gradient_noise::local;
        if (weighted) weigh_samples(stretch, step);
        std::memset(static_cast<void*>(group.slopes.get()), 0, problem.weights * sizeof(V));
        for (int begin = 0; begin < size; begin += S) {
            const int count = size - begin < S ? size - begin : S;
            if (problem.sampling == Sampling::fresh) {
                take_fresh(begin, count);
            } else {
                gather(problem.x, problem.inputs, problem.samples, index, begin, count, units[0]);
                gather(problem.y, problem.outputs, problem.samples, index, begin, count, targets);
            }
            if (problem.label_noise > 0) disturb_labels(begin, count);
            forward(count);
            for (int n = 0; n < count; ++n)
                loss_slope<T>(problem.cross_entropy, &units.back()[n], &targets[n], &delta[n],
                              problem.outputs, S);
            if (weighted) weigh(begin, count);
            backward_programs[count - 1].run();
        }
        if (weighted) return;
        for (int i = 0; i < problem.weights; ++i) group.slopes[i] /= T(size);
    }

    // Sums of f (x, 1)^T over the training samples, mean losses, and the norm of the weights.
    void observe(const Stretch& stretch, int64_t look, int size) {
        const int64_t replicas = problem.replicas;
        for (int i = 0; i < size * P; ++i) sums[i] = Doubles{};
        measure(problem.x, problem.y, problem.samples, true, stretch.train + look * replicas);
        group.store_doubles(sums.get(), size, stretch.maps + look * size * replicas);
        if (problem.test_samples > 0)
            measure(problem.test_x, problem.test_y, problem.test_samples, false,
                    stretch.test + look * replicas);
        store_norms(group, stretch.norms + look * replicas);
    }

private:
    // Samples `begin` and on of the batch, from each lane's part of a table (datasets, n, columns).
    void gather(const void* table, int columns, int64_t n, const uint64_t* index, int begin,
                int count, const Buffer<V>& to) const {
        T* flat = reinterpret_cast<T*>(to.get());
        for (int s = 0; s < count; ++s)
            for (int lane = 0; lane < N; ++lane) {
                const int64_t sample = index ? index[(begin + s) * N + lane] : begin + s;
                const T* from =
                    static_cast<const T*>(table) + (group.dataset[lane] * n + sample) * columns;
                for (int c = 0; c < columns; ++c) flat[(c * S + s) * N + lane] = from[c];
            }
    }

    void take_fresh(int begin, int count) {
        const int real = problem.real_inputs;
        for (int n = 0; n < count; ++n)
            for (int i = 0; i < problem.variables(); ++i) {
                Doubles parts[P];
                for (int part = 0; part < P; ++part) parts[part] = fresh.sample(begin + n, part)[i];
                (i < real ? units[0][i * S + n] : targets[(i - real) * S + n]) = narrow<T>(parts);
            }
        if (real < problem.inputs)
            for (int n = 0; n < count; ++n) units[0][real * S + n] = all(T(1));
    }

    void disturb_labels(int begin, int count) {
        const int p = problem.outputs;
        for (int n = 0; n < count; ++n)
            for (int j = 0; j < p; ++j) {
                Doubles noise[P];
                for (int part = 0; part < P; ++part)
                    noise[part] =
                        problem.label_noise * label_normals[((begin + n) * p + j) * P + part];
                targets[j * S + n] += narrow<T>(noise);
            }
    }

    // Weights (1 + spread (xi_n - mean xi)) / N: they give the gradient of all samples the
    // covariance of independent batches.
    void weigh_samples(const Stretch& stretch, int64_t step) {
        const int n = problem.samples;
        gradients.normals(step, gradient_normals.get());
        for (int part = 0; part < P; ++part) {
            Doubles* xi = &gradient_normals[part];
            Doubles mean = {};
            for (int i = 0; i < n; ++i) mean += xi[i * P];
            mean /= double(n);
            for (int i = 0; i < n; ++i)
                xi[i * P] = (1.0 + stretch.spread * (xi[i * P] - mean)) / double(n);
        }
    }

    void weigh(int begin, int count) {
        for (int n = 0; n < count; ++n) {
            const V share = narrow<T>(&gradient_normals[(begin + n) * P]);
            for (int j = 0; j < problem.outputs; ++j) delta[j * S + n] *= share;
        }
    }

    // Programs for `count` samples side by side, written when first needed.
    void write_programs(int count) {
        const int last = int(problem.layers.size()) - 1;
        std::vector<Program<V>>& up = forward_programs[count - 1];
        Program<V>& down = backward_programs[count - 1];
        for (int l = 0; l <= last; ++l) {
            const Layer& layer = problem.layers[l];
            up.emplace_back();
            up[l].template add<Finish::store>(group.weight(l), {units[l].get(), S, 1},
                                              {units[l + 1].get(), S, 1}, layer.rows, count,
                                              layer.columns);
        }
        Matrix<V> above{delta.get(), S, 1}, below{lower.get(), S, 1};
        for (int l = last; l >= 0; --l) {
            const Layer& layer = problem.layers[l];
            down.template add<Finish::add>(above, {units[l].get(), 1, S}, group.slope(l),
                                           layer.rows, layer.columns, count);
            if (l > 0)
                down.template add<Finish::times>(group.weight(l).transposed(), above, below,
                                                 layer.columns, count, layer.rows,
                                                 slopes[l - 1].get());
            std::swap(above, below);
        }
    }

    void forward(int count) {
        const int last = int(problem.layers.size()) - 1;
        if (forward_programs[count - 1].empty()) write_programs(count);
        for (int l = 0; l <= last; ++l) {
            const Layer& layer = problem.layers[l];
            V* to = units[l + 1].get();
            forward_programs[count - 1][l].run();
            if (l == last) break;
            // The constant unit of biases, the last one, stays 1.
            const int active = layer.rows - (problem.inputs > problem.real_inputs);
            activate_all<T>(problem.activation, to, slopes[l].get(), active, S, count);
            for (int n = 0; active < layer.rows && n < count; ++n)
                to[active * S + n] = slopes[l][active * S + n] = all(T(1));
        }
    }

    void measure(const void* x, const void* y, int samples, bool correlate, double* losses) {
        const int p = problem.outputs, columns = map_columns(problem);
        Doubles total[P] = {};
        for (int begin = 0; begin < samples; begin += S) {
            const int count = samples - begin < S ? samples - begin : S;
            gather(x, problem.inputs, samples, nullptr, begin, count, units[0]);
            gather(y, p, samples, nullptr, begin, count, targets);
            forward(count);
            for (int n = 0; n < count; ++n)
                for (int part = 0; part < P; ++part) {
                    for (int j = 0; j < p; ++j) {
                        output[j] = widen(units.back()[j * S + n], part);
                        target[j] = widen(targets[j * S + n], part);
                        if (!correlate) continue;
                        for (int i = 0; i + 1 < columns; ++i)
                            sums[(j * columns + i) * P + part] +=
                                output[j] * widen(units[0][i * S + n], part);
                        sums[(j * columns + columns - 1) * P + part] += output[j];
                    }
                    total[part] +=
                        loss(problem.cross_entropy, output.get(), target.get(), p);
                }
        }
        for (int part = 0; part < P; ++part) total[part] /= double(samples);
        group.store_doubles(total, 1, losses);
    }
};

}  // namespace ISA
