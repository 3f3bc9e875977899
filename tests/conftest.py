"""Gives MLX its fast BLAS before any test imports it."""

from engine.backend import prepare

prepare()
