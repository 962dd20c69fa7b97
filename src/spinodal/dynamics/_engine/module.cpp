// The Python side of the engine: arrays are checked here, so that no input can crash the process.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <string>

#include "problem.hpp"

namespace nb = nanobind;

namespace generic { extern const Kernel kernel; }
#ifdef SPINODAL_X86
namespace avx2 { extern const Kernel kernel; }
namespace avx512 { extern const Kernel kernel; }
#endif

namespace {

// The kernels that this processor can run, the fastest first.
std::vector<const Kernel*> kernels() {
    std::vector<const Kernel*> usable;
#ifdef SPINODAL_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("bmi2"))
        usable.push_back(&avx512::kernel);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
        usable.push_back(&avx2::kernel);
#endif
    usable.push_back(&generic::kernel);
    return usable;
}

const Kernel& find(const std::string& name) {
    for (const Kernel* kernel : kernels())
        if (name == "auto" || name == kernel->name) return *kernel;
    std::string known;
    for (const Kernel* kernel : kernels()) known += std::string(known.empty() ? "" : ", ") + kernel->name;
    throw nb::value_error(("This processor has no engine '" + name + "': choose auto, " + known + ".").c_str());
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
    throw nb::value_error(("The engine's '" + name + "' " + why + ".").c_str());
}

using Shape = std::vector<int64_t>;

std::string text(const Shape& shape) {
    std::string all = "(";
    for (int64_t size : shape) all += std::to_string(size) + ",";
    return all + ")";
}

// Named values from Python. Arrays are held for as long as this lives.
class Arguments {
    nb::dict given;
    std::vector<nb::object> held;

public:
    explicit Arguments(nb::dict given) : given(given) {}

    bool has(const char* name) const { return given.contains(name) && !given[name].is_none(); }

    template <class T> T get(const char* name) const {
        if (!given.contains(name)) refuse(name, "is missing");
        T value;
        if (!nb::try_cast<T>(given[name], value)) refuse(name, "has the wrong type");
        return value;
    }

    // An integer from `low` to `high`.
    int64_t integer(const char* name, int64_t low, int64_t high) const {
        const int64_t value = get<int64_t>(name);
        if (value < low || value > high)
            refuse(name, "must lie in [" + std::to_string(low) + ", " + std::to_string(high) +
                             "], got " + std::to_string(value));
        return value;
    }

    template <class Scalar, bool WRITABLE = false>
    Scalar* array(const char* name, const Shape& shape) {
        using Array = std::conditional_t<
            WRITABLE, nb::ndarray<Scalar, nb::c_contig, nb::device::cpu>,
            nb::ndarray<const Scalar, nb::c_contig, nb::device::cpu>>;
        if (!has(name)) refuse(name, "is missing");
        Array found;
        if (!nb::try_cast<Array>(given[name], found, false))
            refuse(name, "must be a contiguous array of the engine's type");
        bool fits = found.ndim() == shape.size();
        for (size_t i = 0; fits && i < shape.size(); ++i)
            fits = int64_t(found.shape(i)) == shape[i];
        if (!fits) {
            Shape got;
            for (size_t i = 0; i < found.ndim(); ++i) got.push_back(found.shape(i));
            refuse(name, "must have shape " + text(shape) + ", got " + text(got));
        }
        held.push_back(nb::borrow(given[name]));
        return const_cast<Scalar*>(found.data());
    }

    void* in_precision(const char* name, bool single, const Shape& shape) {
        return single ? static_cast<void*>(array<float>(name, shape))
                      : static_cast<void*>(array<double>(name, shape));
    }
    void* writable(const char* name, bool single, const Shape& shape) {
        return single ? static_cast<void*>(array<float, true>(name, shape))
                      : static_cast<void*>(array<double, true>(name, shape));
    }
};

constexpr int64_t LARGE = int64_t(1) << 28;  // of every size: its small multiples fit into 32 bits
constexpr int WIDEST = 1 << 13;

// Replicas of one problem; the weights belong to the caller.
class Engine {
    Arguments arguments;
    Problem problem;
    const Kernel& kernel;

    void read_layers() {
        const auto shapes = arguments.get<std::vector<std::vector<int>>>("layers");
        if (shapes.empty()) refuse("layers", "must not be empty");
        int64_t at = 0;
        for (const auto& shape : shapes) {
            if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1 || shape[0] > WIDEST ||
                shape[1] > WIDEST ||
                (!problem.layers.empty() && problem.layers.back().rows != shape[1]))
                refuse("layers", "must be (rows, columns) of matrices that fit to each other");
            problem.layers.push_back({shape[0], shape[1], int(at)});
            at += int64_t(shape[0]) * shape[1];
            if (at > LARGE) refuse("layers", "have too many weights");
        }
        problem.weights = int(at);
        problem.inputs = shapes.front()[1];
        problem.outputs = shapes.back()[0];
    }

    void read_stream(Stream& stream, const char* name) {
        const std::string keys = std::string(name) + "_keys", count = std::string(name) + "_words";
        if (!arguments.has(keys.c_str())) return;
        stream.words = int(arguments.integer(count.c_str(), 1, LARGE));
        stream.keys = arguments.array<uint64_t>(keys.c_str(), {problem.replicas, 2});
    }

    void read_data() {
        const int64_t sets = problem.datasets, n = problem.samples;
        const bool single = problem.single;
        const int64_t k = problem.products(), v = problem.variables();
        const bool finite = problem.sampling == Sampling::shuffled ||
                            problem.sampling == Sampling::replacement;
        if (problem.by_moments) {
            if (finite) {
                problem.stride = int((k + 7) / 8 * 8);
                problem.rows = arguments.in_precision("rows", single, {sets, n, problem.stride});
            } else if (problem.sampling == Sampling::exact &&
                       problem.noise != Gradient_noise::local) {
                problem.exact = arguments.in_precision("exact", single, {sets, k});
            }
        }
        if (!problem.by_moments) {
            if (n < 1) refuse("samples", "must be at least 1");
            problem.x = arguments.in_precision("x", single, {sets, n, problem.inputs});
            problem.y = arguments.in_precision("y", single, {sets, n, problem.outputs});
        }
        if (problem.test_samples > 0) {
            const int64_t m = problem.test_samples;
            problem.test_x = arguments.in_precision("test_x", single, {sets, m, problem.inputs});
            problem.test_y = arguments.in_precision("test_y", single, {sets, m, problem.outputs});
        }
        if (problem.sampling == Sampling::wishart && !problem.by_moments)
            refuse("sampling", "must not be Wishart's on the path of samples");
        if (problem.sampling == Sampling::fresh || problem.sampling == Sampling::wishart)
            problem.factor = arguments.array<double>("factor", {v, v});
        if (problem.noise == Gradient_noise::frozen ||
            (problem.noise == Gradient_noise::local && problem.by_moments)) {
            problem.noise_rank = int(arguments.integer("noise_rank", 1, LARGE));
            const bool local = problem.noise == Gradient_noise::local;
            const int64_t rows = local ? k : problem.weights;
            problem.spread = arguments.array<double>("spread", {sets, rows, problem.noise_rank});
            if (local) problem.centre = arguments.array<double>("centre", {sets, k});
        }
    }

    // Every stream holds as many words as a step can ask for.
    void check_streams() const {
        const int64_t b = largest_batch, p = problem.outputs, d = problem.inputs;
        const int64_t v = problem.variables(), n = problem.samples;
        const int64_t size = problem.sampling == Sampling::exact ? n : b;
        auto enough = [&](const Stream& stream, int64_t words, const char* name) {
            if (stream.words < words)
                refuse(name, "has " + std::to_string(stream.words) + " words per step, needed are " +
                                 std::to_string(words));
        };
        switch (problem.sampling) {
        case Sampling::shuffled: enough(problem.batches, n, "batches_words"); break;
        case Sampling::replacement: enough(problem.batches, (b + 1) / 2, "batches_words"); break;
        case Sampling::fresh: enough(problem.batches, (b * v + 1) / 2, "batches_words"); break;
        case Sampling::wishart:
            enough(problem.batches, 8 * v + (v * (v - 1) / 2 + 1) / 2, "batches_words");
            break;
        case Sampling::exact: break;
        }
        if (problem.label_noise > 0)
            enough(problem.labels, ((problem.by_moments ? p * d : p * size) + 1) / 2, "labels_words");
        if (problem.noise == Gradient_noise::local && !problem.by_moments)
            enough(problem.gradients, (n + 1) / 2, "gradients_words");
        else if (problem.noise != Gradient_noise::none)
            enough(problem.gradients, (problem.noise_rank + 1) / 2, "gradients_words");
    }

public:
    int64_t largest_batch;

    Engine(nb::dict given, const std::string& isa) : arguments(given), kernel(find(isa)) {
        problem.single = arguments.get<bool>("single");
        problem.by_moments = arguments.get<bool>("by_moments");
        problem.cross_entropy = arguments.get<bool>("cross_entropy");
        read_layers();
        problem.real_inputs =
            int(arguments.integer("real_inputs", problem.inputs - 1, problem.inputs));
        if (problem.real_inputs < 1) refuse("real_inputs", "must be at least 1");
        problem.datasets = int(arguments.integer("datasets", 1, LARGE));
        problem.samples = int(arguments.integer("samples", 0, LARGE));
        problem.test_samples = int(arguments.integer("test_samples", 0, LARGE));
        problem.replicas = arguments.integer("replicas", 1, LARGE);
        problem.activation = Activation(arguments.integer("activation", 0, 5));
        problem.sampling = Sampling(arguments.integer("sampling", 0, 4));
        problem.optimizer = Optimizer(arguments.integer("optimizer", 0, 3));
        problem.noise = Gradient_noise(arguments.integer("noise", 0, 2));
        problem.momentum = arguments.get<double>("momentum");
        problem.second_momentum = arguments.get<double>("second_momentum");
        problem.epsilon = arguments.get<double>("epsilon");
        problem.label_noise = arguments.get<double>("label_noise");
        largest_batch = arguments.integer("largest_batch", 0, LARGE);
        if (arguments.has("trainable"))
            problem.trainable =
                arguments.in_precision("trainable", problem.single, {problem.weights});
        problem.dataset_of = arguments.array<int64_t>("dataset_of", {problem.replicas});
        problem.order = arguments.array<int64_t>("order", {problem.replicas});
        for (int64_t i = 0; i < problem.replicas; ++i) {
            if (problem.dataset_of[i] < 0 || problem.dataset_of[i] >= problem.datasets)
                refuse("dataset_of", "points outside of the data sets");
            if (problem.order[i] < 0 || problem.order[i] >= problem.replicas)
                refuse("order", "points outside of the replicas");
        }
        if (problem.sampling < Sampling::fresh && problem.samples < 1)
            refuse("samples", "must be at least 1 to draw batches from");
        read_data();
        read_stream(problem.batches, "batches");
        read_stream(problem.labels, "labels");
        read_stream(problem.gradients, "gradients");
        read_stream(problem.kicks, "kicks");
        check_streams();
    }

    void advance(nb::dict given) {
        Arguments now(given);
        Stretch stretch;
        const bool single = problem.single;
        const int64_t r = problem.replicas, p = problem.outputs;
        constexpr int64_t LONG = int64_t(1) << 52;
        stretch.step = now.integer("step", 0, LONG);
        stretch.count = now.integer("count", 0, LONG);
        stretch.epoch = now.integer("epoch", 0, LONG);
        stretch.per_epoch = now.integer("per_epoch", 1, LARGE);
        stretch.within = now.integer("within", 0, stretch.per_epoch - 1);
        stretch.batch = int(now.integer("batch", 0, largest_batch));
        stretch.rate = now.get<double>("rate");
        stretch.kick = now.get<double>("kick");
        stretch.spread = now.get<double>("spread");
        if (problem.sampling != Sampling::exact && stretch.batch < 1)
            refuse("batch", "must be at least 1");
        if (problem.sampling == Sampling::wishart && stretch.batch < problem.variables())
            refuse("batch", "must not be smaller than the number of variables");
        if (problem.sampling == Sampling::shuffled &&
            (stretch.per_epoch - 1) * stretch.batch >= problem.samples)
            refuse("per_epoch", "times the batch must fit into the samples");
        if (stretch.kick > 0 && problem.kicks.words < (problem.weights + 1) / 2)
            refuse("kicks_words", "must hold a normal for every weight");
        if (problem.optimizer >= Optimizer::adam) {
            stretch.adam_rate = now.array<double>("adam_rate", {stretch.count});
            stretch.adam_scale = now.array<double>("adam_scale", {stretch.count});
        }
        const Shape all{problem.weights, r};
        stretch.weights = now.writable("weights", single, all);
        stretch.decay = now.in_precision("decay", single, {r});
        if (problem.optimizer != Optimizer::sgd) stretch.first = now.writable("first", single, all);
        if (problem.optimizer >= Optimizer::adam)
            stretch.second = now.writable("second", single, all);
        stretch.look_count = now.integer("look_count", 0, LARGE);
        stretch.looks = now.array<int64_t>("looks", {stretch.look_count});
        for (int64_t i = 0; i < stretch.look_count; ++i)
            if (stretch.looks[i] < (i ? stretch.looks[i - 1] + 1 : 0) ||
                stretch.looks[i] > stretch.count)
                refuse("looks", "must ascend and end with the stretch");
        const int64_t columns = problem.by_moments ? problem.inputs : problem.real_inputs + 1;
        stretch.maps = now.array<double, true>("maps", {stretch.look_count, p, columns, r});
        stretch.norms = now.array<double, true>("norms", {stretch.look_count, r});
        if (!problem.by_moments) {
            stretch.train = now.array<double, true>("train", {stretch.look_count, r});
            if (problem.test_samples > 0)
                stretch.test = now.array<double, true>("test", {stretch.look_count, r});
        }
        nb::gil_scoped_release release;
        kernel.advance(problem, stretch);
    }

    const char* isa() const { return kernel.name; }
};

using Words_in = nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Doubles_in = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T> using Out = nb::ndarray<nb::numpy, T, nb::ndim<1>>;

template <class T> Out<T> fresh(size_t count, T*& data) {
    data = new T[count ? count : 1];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Out<T>(data, {count}, owner);
}

}  // namespace

NB_MODULE(_kernels, module) {
    module.doc() = "The compiled machine; use it through spinodal.dynamics.compiled.";
    nb::class_<Engine>(module, "Engine")
        .def(nb::init<nb::dict, const std::string&>(), nb::arg("problem"), nb::arg("isa"))
        .def("advance", &Engine::advance, nb::arg("stretch"))
        .def_prop_ro("isa", &Engine::isa);
    module.def("features", [] {
        std::vector<std::string> names;
        for (const Kernel* kernel : kernels()) names.push_back(kernel->name);
        return names;
    });
    module.def("peak", [](const std::string& isa, double seconds) {
        const Kernel& kernel = find(isa);
        nb::gil_scoped_release release;
        return kernel.peak(seconds);
    }, nb::arg("isa"), nb::arg("seconds"));
    module.def("philox_words", [](uint64_t key0, uint64_t key1, uint64_t counter, uint64_t blocks,
                                  const std::string& isa) {
        if (blocks > uint64_t(LARGE)) refuse("blocks", "are too many");
        uint64_t* data;
        auto out = fresh<uint64_t>(4 * blocks, data);
        find(isa).philox(key0, key1, counter, blocks, data);
        return out;
    });
    module.def("normals", [](Words_in words, const std::string& isa) {
        double* data;
        auto out = fresh<double>(2 * words.size(), data);
        find(isa).normals(words.data(), words.size(), data, data + words.size());
        return out;
    });
    module.def("elementary", [](int function, Doubles_in x, const std::string& isa) {
        double* data;
        auto out = fresh<double>(x.size(), data);
        if (function < 0 || function > 8) refuse("function", "is unknown");
        find(isa).elementary(function, x.data(), x.size(), data);
        return out;
    });
}
