"""Columns of values as matrices, and the steps that follow: imputation and target encoding."""
