;; Never ends to make room for an argument; `run` needs none.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "allocate") (param i32 i32 i32 i32) (result i32)
      (loop $again (br $again))
      (i32.const 0))
    (func (export "take") (param i32 i32))
    (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "take") (param "bytes" (list u8))
    (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "allocate"))))
  (func (export "run") (canon lift (core func $i "run"))))
