# C functions only, for cimport: see _state.pxd.
