//! The library facade and the greenroom binary
