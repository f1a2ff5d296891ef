//! The trusted process: the tree, spawning, introductions, reaping
