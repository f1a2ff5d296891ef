//! wasmtime behind the runtime door: compile, cache, link, run
