"""The kernels, compiled for the baseline of the platform."""
