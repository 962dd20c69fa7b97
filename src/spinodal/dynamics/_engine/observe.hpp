// What both paths measure alike.
#pragma once

#include "group.hpp"

namespace ISA {

// The squared norm of all weights, summed in ascending order.
template <class T> void store_norms(const Group<T>& group, double* norms) {
    Doubles sum[PARTS<T>] = {};
    for (int i = 0; i < group.problem.weights; ++i)
        for (int part = 0; part < PARTS<T>; ++part) {
            const Doubles weight = widen(group.weights[i], part);
            sum[part] += weight * weight;
        }
    group.store_doubles(sum, 1, norms);
}

}  // namespace ISA
