"""What the benchmarks of the service start, ask and compare with."""
