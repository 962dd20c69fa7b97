// What is done with a gradient: weight decay, optimiser, thermal noise, one pass over the weights.
#pragma once

#include "group.hpp"
#include "random.hpp"

namespace ISA {

template <class T> class Updater {
    using V = Lanes<T>;
    // Denormal numbers would slow a trapped run many times.
    static constexpr T SMALLEST = sizeof(T) == 8 ? T(1e-100) : T(1e-30);
    static constexpr T SMALLEST_SQUARE = sizeof(T) == 8 ? T(1e-200) : T(1e-37);
    Group<T>& group;
    Source<T> source, gradients;
    Buffer<Doubles> kicks, xi, factor;

    static INLINE V flush(V x, T smallest) { return magnitude(x) < smallest ? V{} : x; }

    bool frozen() const { return group.problem.noise == Gradient_noise::frozen; }

    // Gradient noise of fixed covariance: slope += F xi.
    void shake(const Stretch& stretch, int64_t step) {
        const int rank = group.problem.noise_rank;
        gradients.normals(step, xi.get());
        for (int64_t i = 0; i < group.problem.weights; ++i) {
            Doubles sum[PARTS<T>] = {};
            for (int part = 0; part < PARTS<T>; ++part)
                for (int k = 0; k < rank; ++k)
                    sum[part] += factor[(i * rank + k) * PARTS<T> + part] * stretch.spread *
                                 xi[k * PARTS<T> + part];
            group.slopes[i] += narrow<T>(sum);
        }
    }

    template <Optimizer RULE> void pass(const Stretch& stretch, int64_t step) {
        const Problem& problem = group.problem;
        const T rate = T(stretch.rate);
        const T mu = T(problem.momentum), rest = T(1 - problem.momentum);
        const T nu = T(problem.second_momentum), other = T(1 - problem.second_momentum);
        const T epsilon = T(problem.epsilon);
        T scaled_rate = 0, scale = 1;
        if constexpr (RULE >= Optimizer::adam) {
            scaled_rate = T(stretch.adam_rate[step - stretch.step]);
            scale = T(stretch.adam_scale[step - stretch.step]);
        }
        const V decay = group.decay;
        // Stores to vectors might change anything that is not held in a local variable.
        const double kick_size = stretch.kick;
        const int count = problem.weights;
        V *const weights = group.weights.get(), *const slopes = group.slopes.get();
        V *const firsts = group.first.get(), *const seconds = group.second.get();
        const V* const trainable = group.trainable.get();
        const Doubles* const normals = kicks.get();
        for (int i = 0; i < count; ++i) {
            const V weight = weights[i];
            V slope = slopes[i], change;
            if constexpr (RULE != Optimizer::adamw) slope += decay * weight;
            if constexpr (RULE == Optimizer::sgd) {
                change = slope * -rate;
            } else if constexpr (RULE == Optimizer::momentum) {
                const V first = firsts[i] * mu + slope;
                change = first * -rate;
                firsts[i] = flush(first, SMALLEST);
            } else {
                const V first = mu * firsts[i] + rest * slope;
                const V second = nu * seconds[i] + other * slope * slope;
                change = -scaled_rate * (first / (root(second) / scale + epsilon));
                if constexpr (RULE == Optimizer::adamw) change = -(rate * decay) * weight + change;
                firsts[i] = flush(first, SMALLEST);
                seconds[i] = flush(second, SMALLEST_SQUARE);
            }
            if (kick_size > 0) {
                Doubles kick[PARTS<T>];
                for (int part = 0; part < PARTS<T>; ++part)
                    kick[part] = kick_size * normals[i * PARTS<T> + part];
                change += narrow<T>(kick);
            }
            if (trainable) change *= trainable[i];
            weights[i] = flush(weight + change, SMALLEST);
        }
    }

public:
    explicit Updater(Group<T>& group) : group(group), source(group.problem.kicks), gradients(group.problem.gradients) {
        kicks.allocate(source.room());
        if (frozen()) {
            xi.allocate(gradients.room());
            factor.allocate(int64_t(group.problem.weights) * group.problem.noise_rank * PARTS<T>);
        }
    }

    void prepare() {
        source.take(group.replicas);
        if (!frozen()) return;
        gradients.take(group.replicas);
        group.load_table(group.problem.spread,
                         int64_t(group.problem.weights) * group.problem.noise_rank, factor.get());
    }

    void update(const Stretch& stretch, int64_t step) {
        const Problem& problem = group.problem;
        if (frozen()) shake(stretch, step);
        if (stretch.kick > 0) source.normals(step, kicks.get());
        switch (problem.optimizer) {
        case Optimizer::sgd: return pass<Optimizer::sgd>(stretch, step);
        case Optimizer::momentum: return pass<Optimizer::momentum>(stretch, step);
        case Optimizer::adam: return pass<Optimizer::adam>(stretch, step);
        case Optimizer::adamw: return pass<Optimizer::adamw>(stretch, step);
        }
    }
};

}  // namespace ISA
