//! The LiveKit signalling protocol, version 1 (single peer connection). LiveKit's words live in this folder only.
