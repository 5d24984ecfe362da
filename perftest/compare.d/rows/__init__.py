# SPDX-License-Identifier: BSD-2-Clause
"""The groups of perftest/compare: a module each, with PROGRAMS and experiments()."""
