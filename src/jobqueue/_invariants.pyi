# C functions only, for cimport: see _life.pxd.
