// What a machine is told: shapes, tables, streams and constants. No code depends on the processor.
#pragma once

#include <cstdint>
#include <vector>

enum class Sampling { shuffled, replacement, fresh, wishart, exact };
enum class Activation { identity, tanh, sigmoid, softplus, relu, gelu };
enum class Optimizer { sgd, momentum, adam, adamw };
enum class Gradient_noise { none, local, frozen };

struct Layer {
    int rows, columns;
    int at;  // number of its first weight
};

// Philox keys (replicas, 2) of a named stream, and how many words a step owns.
struct Stream {
    const uint64_t* keys = nullptr;
    int words = 0;
    uint64_t blocks() const { return (uint64_t(words) + 3) / 4; }
};

// Tables marked T hold the network's precision. Pointers that a setting does not need are null.
struct Problem {
    std::vector<Layer> layers;
    int inputs = 0;       // columns of the first layer, the constant unit of biases included
    int real_inputs = 0;  // without it
    int outputs = 0;
    int weights = 0;
    int datasets = 0;
    int samples = 0;       // N
    int test_samples = 0;
    int64_t replicas = 0;
    bool single = false;   // float32
    bool by_moments = true;
    Activation activation = Activation::identity;
    bool cross_entropy = false;
    Sampling sampling = Sampling::exact;
    Optimizer optimizer = Optimizer::sgd;
    Gradient_noise noise = Gradient_noise::none;
    int noise_rank = 0;    // columns of `spread`
    double momentum = 0, second_momentum = 0, epsilon = 0, label_noise = 0;

    const void* trainable = nullptr;  // T (weights)
    const void* rows = nullptr;       // T (datasets, samples, stride): unique products, padded
    int stride = 0;
    const void* exact = nullptr;      // T (datasets, products): moments of the full data
    const void* x = nullptr;          // T (datasets, samples, inputs)
    const void* y = nullptr;          // T (datasets, samples, outputs)
    const void* test_x = nullptr;     // T (datasets, test_samples, inputs)
    const void* test_y = nullptr;     // T (datasets, test_samples, outputs)
    const double* factor = nullptr;   // (variables, variables): Cholesky factor of (x, y)
    const double* spread = nullptr;   // (datasets, rows, noise_rank): factor of the gradient noise
    const double* centre = nullptr;   // (datasets, products): mean of the local noise
    const int64_t* dataset_of = nullptr;  // (replicas)
    const int64_t* order = nullptr;       // (replicas): neighbours in it share lanes

    Stream batches, labels, gradients, kicks;

    int products() const { return inputs * (inputs + 1) / 2 + outputs * inputs; }
    int variables() const { return real_inputs + outputs; }
};

// One stretch of updates with constant coefficients. Arrays of replicas have them last.
struct Stretch {
    int64_t step = 0, count = 0;
    int64_t epoch = 0, within = 0, per_epoch = 1;  // shuffled: where the first update stands
    int batch = 0;
    double rate = 0, kick = 0;           // learning rate, sqrt(2 T learning_rate)
    double spread = 0;                   // factor of the Gaussian gradient noise
    const double* adam_rate = nullptr;   // (count): learning_rate / (1 - beta1^t)
    const double* adam_scale = nullptr;  // (count): sqrt(1 - beta2^t)
    const void* decay = nullptr;         // T (replicas)
    void* weights = nullptr;             // T (weights, replicas)
    void* first = nullptr;               // T (weights, replicas): momentum
    void* second = nullptr;              // T (weights, replicas): second moment

    const int64_t* looks = nullptr;  // ascending, counted from the start of the stretch
    int64_t look_count = 0;
    double* maps = nullptr;   // (looks, outputs, columns, replicas): end-to-end maps or sums
    double* norms = nullptr;  // (looks, replicas)
    double* train = nullptr;  // (looks, replicas)
    double* test = nullptr;   // (looks, replicas)
};

// Every instruction set has one of these; see kernel.cpp.
struct Kernel {
    const char* name;
    int lane_bytes;
    void (*advance)(const Problem&, const Stretch&);
    void (*philox)(uint64_t key0, uint64_t key1, uint64_t counter, uint64_t blocks, uint64_t* out);
    void (*normals)(const uint64_t* words, int64_t count, double* cosines, double* sines);
    void (*elementary)(int function, const double* x, int64_t count, double* out);
    double (*peak)(double seconds);
};
