// All updates of all replicas, compiled once for every instruction set.
#include "moments.hpp"
#include "samples.hpp"
#include "update.hpp"

#include <chrono>

namespace ISA {
namespace {

template <class T, class Path> void run(const Problem& problem, const Stretch& stretch) {
    Group<T> group(problem);
    Path path(group, stretch);
    Updater<T> updater(group);
    const int observed = problem.outputs * Path::map_columns(problem);
    for (int64_t start = 0; start < problem.replicas; start += LANES<T>) {
        group.take(start);
        group.load(stretch.weights, problem.weights, group.weights.get());
        group.load(stretch.decay, 1, &group.decay);
        if (group.first) group.load(stretch.first, problem.weights, group.first.get());
        if (group.second) group.load(stretch.second, problem.weights, group.second.get());
        path.prepare();
        updater.prepare();
        int64_t look = 0;
        for (int64_t done = 0;; ++done) {
            if (look < stretch.look_count && stretch.looks[look] == done) {
                path.observe(stretch, look, observed);
                ++look;
            }
            if (done == stretch.count) break;
            path.gradient(stretch, stretch.step + done);
            updater.update(stretch, stretch.step + done);
        }
        group.store(group.weights.get(), problem.weights, stretch.weights);
        if (group.first) group.store(group.first.get(), problem.weights, stretch.first);
        if (group.second) group.store(group.second.get(), problem.weights, stretch.second);
    }
}

void advance(const Problem& problem, const Stretch& stretch) {
    if (problem.by_moments && problem.single)
        run<float, Moments_path<float>>(problem, stretch);
    else if (problem.by_moments)
        run<double, Moments_path<double>>(problem, stretch);
    else if (problem.single)
        run<float, Samples_path<float>>(problem, stretch);
    else
        run<double, Samples_path<double>>(problem, stretch);
}

void philox_words(uint64_t key0, uint64_t key1, uint64_t counter, uint64_t count, uint64_t* out) {
    for (uint64_t b = 0; b < count; ++b) {
        Words block[1][4];
        philox(all(key0), all(key1), counter + b, block);
        for (int i = 0; i < 4; ++i) *out++ = block[0][i][0];
    }
}

void normal_pairs(const uint64_t* words, int64_t count, double* cosines, double* sines) {
    constexpr int N = LANES<double>;
    for (int64_t at = 0; at < count; at += N) {
        const size_t size = sizeof(double) * (count - at < N ? count - at : N);
        Words word = {};
        Doubles first, second;
        std::memcpy(&word, words + at, size);
        box_muller(word, first, second);
        std::memcpy(cosines + at, &first, size);
        std::memcpy(sines + at, &second, size);
    }
}

void elementary(int function, const double* x, int64_t count, double* out) {
    constexpr int N = LANES<double>;
    for (int64_t at = 0; at < count; at += N) {
        const size_t size = sizeof(double) * (count - at < N ? count - at : N);
        Doubles value = {};
        std::memcpy(&value, x + at, size);
        switch (function) {
        case 0: value = exp(value); break;
        case 1: value = expm1(value); break;
        case 2: value = log(value); break;
        case 3: value = log1p(value); break;
        case 4: value = tanh(Many<1>{{value}}).at[0]; break;
        case 5: value = sigmoid(Many<1>{{value}}).at[0]; break;
        case 6: value = softplus(value); break;
        case 7: value = gelu(value); break;
        default: value = gelu_slope(value);
        }
        std::memcpy(out + at, &value, size);
    }
}

// Multiplications and additions of doubles per second, as many as one core can do without fusing
// them: twelve independent chains of each.
double peak(double seconds) {
    using Clock = std::chrono::steady_clock;
    double best = 0;
    const auto begin = Clock::now();
    while (std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
        constexpr int CHAINS = VECTOR_BYTES == 64 ? 12 : 6, ROUNDS = 20000;
        Doubles product[CHAINS], sum[CHAINS], factor = all(1.0), term = all(0.0);
        asm volatile("" : "+m"(factor), "+m"(term));
        for (int i = 0; i < CHAINS; ++i) product[i] = all(1.0), sum[i] = all(1.0);
        const auto start = Clock::now();
        for (int round = 0; round < ROUNDS; ++round) {
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; ++i) {
                product[i] *= factor;
                sum[i] += term;
                asm volatile("" : "+v"(product[i]), "+v"(sum[i]));
            }
        }
        const double took = std::chrono::duration<double>(Clock::now() - start).count();
        const double rate = 2.0 * CHAINS * LANES<double> * ROUNDS / took;
        best = rate > best ? rate : best;
    }
    return best;
}

}  // namespace

#define TEXT(name) TEXT_(name)
#define TEXT_(name) #name
extern const Kernel kernel;
const Kernel kernel = {TEXT(ISA), VECTOR_BYTES, advance, philox_words, normal_pairs, elementary, peak};

}  // namespace ISA
