# C functions only, for cimport: see _unique.pxd.
