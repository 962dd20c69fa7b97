"""The compiled machine's extension module `_kernels`, and the C++ that it is made from.

Absent where no compiler was found at installation; use it through `spinodal.dynamics.compiled`.
"""
