;; Grows tables until there is no more, and then fails; `run` needs none.
(component
  (core module $m
    (table $a 1 funcref)
    (table $b 1 externref)
    (func (export "eat")
      (loop $again
        (br_if $again (i32.ne (table.grow $a (ref.null func) (i32.const 65536)) (i32.const -1)))
        (br_if $again (i32.ne (table.grow $b (ref.null extern) (i32.const 65536)) (i32.const -1))))
      (unreachable))
    (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "eat") (canon lift (core func $i "eat")))
  (func (export "run") (canon lift (core func $i "run"))))
