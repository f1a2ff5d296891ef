//! Finds a way to build guest crates, and builds them
