"""The kernels of each spreading factor, put together from codelets by `generate_codelets.py`.

For 2**sf = R1 * R2 * R3: a first pass of R1 into R1 rows (padded by a cache line, so that they do not fall into the
same cache set), then for each row a middle pass of R2 and a last pass of R3, depth first, so that a row is still in the
first-level cache. Row p, block q, output r is bin p + R1 * q + R1 * R2 * r: decisions need no reordering pass.
"""
