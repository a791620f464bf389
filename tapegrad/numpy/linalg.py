"""The names of `numpy.linalg`, for plain and for traced values."""
