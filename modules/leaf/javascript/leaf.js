// The contract of `leaf.wit` in JavaScript.
//
//     npx componentize-js javascript/leaf.js -w leaf.wit -n leaf -d http fetch-event -o leaf.wasm

export const shapes = {
  echoRecord: (value) => value,
  echoList: (value) => value,
  echoOption: (value) => value,
  echoVariant: (value) => value,
  echoBytes: (value) => value,

  // The error of a `result` is thrown.
  fail(code, message) {
    throw { code, message };
  },

  // Anything thrown where there is no `result` is a trap.
  trap() {
    throw new Error("a leaf has broken down");
  },
};
