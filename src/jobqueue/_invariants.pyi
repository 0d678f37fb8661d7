# C functions only, for cimport: see _invariants.pxd.
