// Which samples each update sees, and the second moments of a batch.
#pragma once

#include "group.hpp"
#include "random.hpp"

namespace ISA {

// The rows of a table are summed in pieces of eight numbers, in one or more registers.
template <class T> struct Piece {
    static constexpr int BYTES = VECTOR_BYTES < int(8 * sizeof(T)) ? VECTOR_BYTES : 8 * sizeof(T);
    static constexpr int COUNT = 8 * sizeof(T) / BYTES;
    typedef T type __attribute__((vector_size(BYTES)));
};

// The samples of every lane's batch: places of their rows in a table, that is, numbers times `row`.
template <class T> class Chosen {
    const Problem& problem;
    Source<T> source;
    Shuffler<T> shuffler;
    Buffer<Words> indices;
    int64_t epoch = -1;
    const uint64_t row;
    bool shuffled;

public:
    int size = 0;                     // of the batch
    const uint64_t* place = nullptr;  // (size, lanes)

    Chosen(const Problem& problem, int batch, int row)
        : problem(problem), source(problem.batches), row(row),
          shuffled(problem.sampling == Sampling::shuffled) {
        if (shuffled) shuffler.allocate(problem.samples);
        indices.allocate((int64_t(shuffled ? problem.samples : batch) + 16) * PARTS<T>);
    }

    void take(const int64_t* replicas) {
        epoch = -1;
        source.take(replicas);
    }

    void choose(const Stretch& stretch, int64_t step) {
        size = stretch.batch;
        uint64_t* flat = reinterpret_cast<uint64_t*>(indices.get());
        place = flat;
        if (shuffled) {
            const int64_t at = step - stretch.step + stretch.within;
            if (epoch != stretch.epoch + at / stretch.per_epoch) {
                epoch = stretch.epoch + at / stretch.per_epoch;
                shuffler.permute(source, epoch, row, flat);
            }
            const int64_t begin = at % stretch.per_epoch * size;
            if (begin + size > problem.samples) size = int(problem.samples - begin);
            place += begin * LANES<T>;
        } else {
            // Two independent indices from every word, the high half first.
            const Words n = all(uint64_t(problem.samples)), length = all(row);
            source.each(step, (size + 1) / 2, [&](int i, int part, Words word) {
                Words* to = &indices[2 * i * PARTS<T> + part];
                to[0] = low_product(low_product(word >> 32, n) >> 32, length);
                to[PARTS<T>] = low_product(low_product(word, n) >> 32, length);
            });
        }
    }
};

// out[lane][0..8) = sum of eight numbers of each chosen row, one after the other; all lanes at
// once, because an addition waits for the one before it.
template <class T>
INLINE void sum_rows(const T* const (&table)[LANES<T>], const uint64_t* place, int size,
                     T (*out)[8]) {
    using V = typename Piece<T>::type;
    constexpr int N = LANES<T>, M = Piece<T>::COUNT, W = Piece<T>::BYTES / sizeof(T);
    V total[N][M] = {};
    for (int n = 0; n < size; ++n, place += N)
#pragma GCC unroll 16
        for (int lane = 0; lane < N; ++lane) {
            const T* row = table[lane] + place[lane];
#pragma GCC unroll 4
            for (int m = 0; m < M; ++m)
                total[lane][m] += *reinterpret_cast<const V*>(row + m * W);
        }
    std::memcpy(out, total, sizeof total);
}

// New samples of every lane: (x, y) = factor * normals, in double precision.
template <class T> class Fresh {
    const Problem& problem;
    Source<T> source;
    Buffer<Doubles> normals, values;

public:
    explicit Fresh(const Problem& problem) : problem(problem), source(problem.batches) {
        if (problem.sampling == Sampling::fresh) normals.allocate(source.room());
        values.allocate(problem.variables());
    }
    void take(const int64_t* replicas) { source.take(replicas); }
    void draw(int64_t step) { source.normals(step, normals.get()); }

    // Inputs, then outputs of sample n of the last draw.
    const Doubles* sample(int n, int part) {
        const int v = problem.variables();
        for (int i = 0; i < v; ++i) {
            Doubles sum = {};
            for (int k = 0; k < v; ++k)
                sum += problem.factor[i * v + k] * normals[(n * v + k) * PARTS<T> + part];
            values[i] = sum;
        }
        return values.get();
    }
};

// Moments of one batch: xx (inputs, inputs) and yx (outputs, inputs).
template <class T> class Batch_moments {
    using V = Lanes<T>;
    static constexpr int N = LANES<T>, P = PARTS<T>;
    const Group<T>& group;
    const Problem& problem;
    Chosen<T> chosen;
    Fresh<T> fresh;
    Source<T> direct, gradients, labels;
    Buffer<V> unique;             // (products)
    Buffer<Doubles> drawn, wide;  // normals of a step; (products) before rounding
    Buffer<Doubles> centre, spread, factor;
    int size = 0;  // of the batch

public:
    Buffer<V> xx, yx;

    Batch_moments(const Group<T>& group, const Stretch& stretch)
        : group(group), problem(group.problem), chosen(problem, stretch.batch, problem.stride),
          fresh(problem), direct(problem.batches), gradients(problem.gradients),
          labels(problem.labels) {
        const int d = problem.inputs, p = problem.outputs, v = problem.variables();
        unique.allocate(problem.products());
        wide.allocate(P * problem.products());
        xx.allocate(d * d);
        yx.allocate(p * d);
        int64_t room = direct.room();
        if (gradients.room() > room) room = gradients.room();
        if (labels.room() > room) room = labels.room();
        drawn.allocate(room);
        factor.allocate(d > v ? d * d : 2 * v * v);
    }

    // The lanes' own tables, after the group has taken its replicas.
    void prepare() {
        chosen.take(group.replicas);
        fresh.take(group.replicas);
        direct.take(group.replicas);
        gradients.take(group.replicas);
        labels.take(group.replicas);
        if (problem.noise == Gradient_noise::local) {
            const int k = problem.products();
            if (!centre) centre.allocate(P * k), spread.allocate(int64_t(P) * k * problem.noise_rank);
            group.load_table(problem.centre, k, centre.get());
            group.load_table(problem.spread, int64_t(k) * problem.noise_rank, spread.get());
        } else if (problem.sampling == Sampling::exact) {
            group.load_table(static_cast<const T*>(problem.exact), problem.products(),
                             unique.get());
            unpack();
        }
    }

    void compute(const Stretch& stretch, int64_t step) {
        size = stretch.batch;
        if (problem.noise == Gradient_noise::local) {
            draw_local(stretch.spread, step);
        } else if (problem.sampling == Sampling::fresh) {
            average_fresh(stretch.batch, step);
        } else if (problem.sampling == Sampling::wishart) {
            draw_wishart(stretch.batch, step);
        } else if (problem.sampling != Sampling::exact) {
            sum_batch(stretch, step);
        } else if (problem.label_noise > 0) {
            unpack();  // the noise of the last step is still in yx
        }
        if (problem.label_noise > 0) disturb_labels(step);
    }

private:
    // Sums of the chosen rows of the table, over the size of the batch.
    void sum_batch(const Stretch& stretch, int64_t step) {
        chosen.choose(stretch, step);
        size = chosen.size;
        const int64_t stride = problem.stride, set = problem.samples * stride;
        const T* table[N];
        // Multiplying by the inverse of a power of two is exact, and faster.
        const bool power = (size & (size - 1)) == 0;
        for (int at = 0; at < stride; at += 8) {
            for (int lane = 0; lane < N; ++lane)
                table[lane] = static_cast<const T*>(problem.rows) + group.dataset[lane] * set + at;
            alignas(64) T sums[N][8];
            sum_rows<T>(table, chosen.place, size, sums);
            for (int k = at; k < at + 8 && k < problem.products(); ++k) {
                V sum;
                for (int lane = 0; lane < N; ++lane) sum[lane] = sums[lane][k - at];
                unique[k] = power ? sum * (1 / T(size)) : sum / T(size);
            }
        }
        unpack();
    }

    void unpack() {
        const int d = problem.inputs, p = problem.outputs;
        const V* next = unique.get();
        for (int i = 0; i < d; ++i)
            for (int j = i; j < d; ++j) xx[i * d + j] = xx[j * d + i] = *next++;
        std::memcpy(yx.get(), next, p * d * sizeof(V));
    }

    void round_and_unpack() {
        for (int k = 0; k < problem.products(); ++k) unique[k] = narrow<T>(&wide[k * P]);
        unpack();
    }

    // z = zbar + F xi with F F^T = Cov(z) / B.
    void draw_local(double scale, int64_t step) {
        gradients.normals(step, drawn.get());
        for (int k = 0; k < problem.products(); ++k)
            for (int part = 0; part < P; ++part) {
                Doubles sum = {};
                for (int j = 0; j < problem.noise_rank; ++j)
                    sum += spread[(int64_t(k) * problem.noise_rank + j) * P + part] * scale *
                           drawn[j * P + part];
                wide[k * P + part] = centre[k * P + part] + sum;
            }
        round_and_unpack();
    }

    // Moments of new samples, which have a constant input 1 where there are biases.
    void average_fresh(int batch, int64_t step) {
        fresh.draw(step);
        for (int part = 0; part < P; ++part) {
            for (int k = 0; k < problem.products(); ++k) wide[k * P + part] = Doubles{};
            for (int n = 0; n < batch; ++n) add_products(fresh.sample(n, part), part);
            for (int k = 0; k < problem.products(); ++k) wide[k * P + part] /= double(batch);
        }
        round_and_unpack();
    }

    void add_products(const Doubles* sample, int part) {
        const int d = problem.inputs, real = problem.real_inputs, p = problem.outputs;
        const Doubles one = all(1.0);
        Doubles* to = &wide[part];
        for (int i = 0; i < d; ++i)
            for (int j = i; j < d; ++j, to += P)
                *to += (i < real ? sample[i] : one) * (j < real ? sample[j] : one);
        for (int i = 0; i < p; ++i)
            for (int j = 0; j < d; ++j, to += P)
                *to += sample[real + i] * (j < real ? sample[j] : one);
    }

    // The moments of a batch drawn directly: F A A^T F^T / batch with Bartlett's A; see wishart.py.
    void draw_wishart(int batch, int64_t step) {
        const int v = problem.variables(), corners = v * (v - 1) / 2, half = (corners + 1) / 2;
        Words* words = reinterpret_cast<Words*>(drawn.get());
        direct.each(step, problem.batches.words, [&](int i, int part, Words word) {
            words[i * P + part] = word;
        });
        for (int part = 0; part < P; ++part) {
            Doubles* lower = factor.get();
            Doubles* mixed = lower + v * v;
            for (int i = 0; i < v * v; ++i) lower[i] = Doubles{};
            for (int i = 0; i < v; ++i)
                lower[i * v + i] = root(chi_square(words + 8 * i * P + part, batch - i));
            for (int n = 0, i = 1; i < v; ++i)
                for (int j = 0; j < i; ++j, ++n) {
                    Doubles first, second;
                    box_muller(words[(8 * v + (n < half ? n : n - half)) * P + part], first, second);
                    lower[i * v + j] = n < half ? first : second;
                }
            for (int j = 0; j < v; ++j)
                for (int i = 0; i < v; ++i) {
                    Doubles sum = {};
                    for (int k = 0; k < v; ++k) sum += problem.factor[i * v + k] * lower[k * v + j];
                    mixed[j * v + i] = sum;
                }
            for (int k = 0; k < problem.products(); ++k) wide[k * P + part] = Doubles{};
            for (int j = 0; j < v; ++j) add_products(mixed + j * v, part);
            for (int k = 0; k < problem.products(); ++k) wide[k * P + part] /= double(batch);
        }
        round_and_unpack();
    }

    // Chi-square numbers from eight words: sums of squares, or Marsaglia and Tsang's rejection.
    static Doubles chi_square(const Words* words, int freedom) {
        Doubles normal[16];
        const int needed = freedom > 16 ? 4 : 8;
        for (int i = 0; i < needed; ++i)
            box_muller(words[i * P], normal[i], normal[needed + i]);
        if (freedom <= 16) {
            Doubles total = {};
            for (int i = 0; i < freedom; ++i) total += normal[i] * normal[i];
            return total;
        }
        const double d = freedom / 2.0 - 1.0 / 3, c = 1 / std::sqrt(9 * d);
        Doubles result = all(2 * d);
        Integers waiting = ~Integers{};
        for (int i = 0; i < 8 && any(waiting); ++i) {
            const Words word = words[(4 + i / 2) * P];
            const Doubles uniform =
                (to_double(i % 2 ? word & 0xFFFFFFFFu : word >> 32) + 0.5) * 0x1p-32;
            const Doubles x = normal[i], base = 1.0 + c * x, cube = base * base * base;
            const Doubles bound =
                0.5 * (x * x) + d - d * cube + d * log(choose(cube > 0.0, cube, all(1.0)));
            const Integers accepted = waiting & (cube > 0.0) & (log(uniform) < bound);
            result = choose(accepted, (2 * d) * cube, result);
            waiting &= ~accepted;
        }
        return result;
    }

    // Noise s on the targets of n samples shifts <y x^T> by s / sqrt(n) Z L^T, L L^T = <x x^T>.
    void disturb_labels(int64_t step) {
        const int d = problem.inputs, p = problem.outputs;
        const double scale = problem.label_noise / std::sqrt(double(size));
        labels.normals(step, drawn.get());
        for (int part = 0; part < P; ++part) {
            Doubles* lower = factor.get();
            for (int j = 0; j < d; ++j) {
                Doubles pivot = {};
                for (int i = 0; i < j; ++i) lower[i * d + j] = Doubles{};
                for (int i = j; i < d; ++i) {
                    Doubles sum = {};
                    for (int k = 0; k < j; ++k) sum += lower[i * d + k] * lower[j * d + k];
                    const Doubles rest = widen(xx[i * d + j], part) - sum;
                    if (i == j) {
                        const Integers positive = rest > 0.0;
                        const Doubles length = root(choose(positive, rest, all(1.0)));
                        pivot = choose(positive, length, all(__builtin_inf()));
                        lower[i * d + j] = choose(positive, length, Doubles{});
                    } else {
                        lower[i * d + j] = rest / pivot;
                    }
                }
            }
            for (int i = 0; i < p; ++i)
                for (int j = 0; j < d; ++j) {
                    Doubles sum = {};
                    for (int k = 0; k < d; ++k)
                        sum += drawn[(i * d + k) * P + part] * lower[j * d + k];
                    wide[(i * d + j) * P + part] = scale * sum;
                }
        }
        for (int i = 0; i < p * d; ++i) yx[i] += narrow<T>(&wide[i * P]);
    }
};

}  // namespace ISA
