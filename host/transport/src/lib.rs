//! Byte pipes and packet channels that can pass descriptors
