"""The names of `numpy.fft`. They have no rules: a traced value raises."""
