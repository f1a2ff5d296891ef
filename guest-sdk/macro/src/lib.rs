//! The attribute macros of greenroom-guest
