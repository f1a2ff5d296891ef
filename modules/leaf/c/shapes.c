// The contract of `leaf.wit` in C.
//
//     wit-bindgen c leaf.wit --out-dir gen
//     clang --target=wasm32-wasi -mexec-model=reactor -fuse-ld=/path/to/wasm-component-ld -O2 \
//         -Igen c/shapes.c gen/leaf.c gen/leaf_component_type.o -o leaf.wasm

#include "leaf.h"

typedef exports_example_leaf_shapes_drawing_t drawing_t;
typedef exports_example_leaf_shapes_refusal_t refusal_t;
typedef exports_example_leaf_shapes_shape_t shape_t;

// What an argument points to belongs to the function; what a result points to is freed by the
// generated code once the caller has it. So giving an argument back is a move.

void exports_example_leaf_shapes_echo_record(drawing_t *value, drawing_t *ret) {
    *ret = *value;
}

void exports_example_leaf_shapes_echo_list(leaf_list_s32_t *value, leaf_list_s32_t *ret) {
    *ret = *value;
}

bool exports_example_leaf_shapes_echo_option(uint64_t *maybe_value, uint64_t *ret) {
    if (maybe_value) {
        *ret = *maybe_value;
    }
    return maybe_value != NULL;
}

void exports_example_leaf_shapes_echo_variant(shape_t *value, shape_t *ret) {
    *ret = *value;
}

void exports_example_leaf_shapes_echo_bytes(leaf_list_u8_t *value, leaf_list_u8_t *ret) {
    *ret = *value;
}

bool exports_example_leaf_shapes_fail(uint16_t code, leaf_string_t *message, refusal_t *err) {
    *err = (refusal_t){.code = code, .message = *message};
    return false;
}

void exports_example_leaf_shapes_trap(void) {
    __builtin_trap();
}
