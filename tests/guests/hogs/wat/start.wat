;; Never ends to start.
(component
  (core module $m
    (func $spin (loop $again (br $again)))
    (start $spin)
    (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))
