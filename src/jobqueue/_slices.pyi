# C functions only, for cimport: see _slices.pxd.
