"""Benchmark a network on this machine: time and memory of inference and training, without data."""

from lunet_networks.bundle.benchmark.benchmark import Benchmark
from lunet_networks.bundle.benchmark.settings import BenchmarkSettings

__all__ = ["Benchmark", "BenchmarkSettings"]
