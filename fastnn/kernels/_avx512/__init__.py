"""The kernels, compiled for x86-64 with AVX-512 (F, VL, BW, DQ)."""
