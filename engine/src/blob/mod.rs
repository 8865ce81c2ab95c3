//! BLAKE3 trees in 16 KiB groups: the geometry, the outboard, the encoding, the verifier (D4, D5).
