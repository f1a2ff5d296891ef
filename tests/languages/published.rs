//! A component that somebody else has written in C++, built and published: the optimizer of the
//! Prophet forecasting model, in the crate `augurs-prophet`.
//!
//! Owns: that it is inspected and called from the shell as it was found.

use std::process::{Command, Output};

use greenroom_tests::{alone, compile, foreign, program};
use serde_json::{Value, json};

/// How many values the model is fitted to.
const VALUES: u32 = 30;

/// How much they rise from the first to the last.
const GROWTH: f64 = 0.8;

/// Runs the program.
fn greenroom(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().expect("the program starts")
}

/// What it printed, if it was content.
#[track_caller]
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it complained of, with its status.
fn complaint(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A line with some scatter, in the form in which the component takes data: a text of JSON.
fn line() -> String {
    let times: Vec<f64> = (0..VALUES).map(|n| f64::from(n) / f64::from(VALUES - 1)).collect();
    let scatter = |n: u32| 0.1 * (12.9898 * f64::from(n)).sin();
    let values: Vec<f64> = times.iter().zip(0..).map(|(time, n)| GROWTH * time + scatter(n)).collect();
    let regressor: Vec<[f64; 1]> = (0..VALUES).map(|n| [f64::from(n % 7) / 7.0]).collect();
    let ones = vec![1.0; VALUES as usize];
    let data = json!({
        "T": VALUES, "y": values, "t": times, "cap": ones, "S": 0, "t_change": [], "trend_indicator": 0,
        "K": 1, "s_a": [1], "s_m": [0], "X": regressor, "sigmas": [10.0], "tau": 0.05,
    });
    data.to_string()
}

#[test]
fn a_published_component_is_inspected_and_called_from_the_shell_without_a_wrapper() {
    let component = foreign("published");
    compile(&component);
    alone(async |_| {
        let component = component.to_str().expect("a path of text");
        let told = printed(&greenroom(&["inspect", component]));
        let signature = "augurs:prophet-wasmstan/optimizer:optimize(init: inits, data: string, \
                         opts: optimize-opts) -> result<optimize-output, string>";
        assert!(told.contains(signature), "{told}");

        // Records, lists, an enum and options: all arguments as JSON, and the shortest name.
        let init = json!({"k": 0.5, "m": 0.0, "delta": [], "beta": [0.0], "sigma-obs": 0.5});
        let opts = json!({"algorithm": "lbfgs", "seed": 1});
        let arguments = json!({"init": init, "data": line(), "opts": opts}).to_string();
        let called = greenroom(&[
            "call", component, "--allow", "random", "optimize", "--json", &arguments, "-o", "json",
        ]);
        let fitted: Value = serde_json::from_str(&printed(&called)).expect("JSON");
        let growth = fitted["params"]["k"].as_f64().expect("a number in a record in a record");
        assert!((growth - GROWTH).abs() < 0.2, "{fitted}");
        assert_eq!(fitted["params"]["trend"].as_array().map(Vec::len), Some(VALUES as usize), "{fitted}");

        // Arguments in WAVE, by the name of the interface. It has no scale for what is negative.
        let init = "init={k: 1.0, m: 0.0, delta: [], beta: [0.0], sigma-obs: 1.0}";
        let data = format!("data={}", line().replace("\"tau\":0.05", "\"tau\":-1.0"));
        let function = "optimizer:optimize";
        let failed = greenroom(&[
            "call",
            component,
            "--allow",
            "random",
            function,
            init,
            &data,
            "opts={algorithm: lbfgs}",
        ]);
        let (code, told) = complaint(&failed);
        assert_eq!(code, Some(1), "{told}");

        let wrong = "init={k: 1.0, m: 0.0, delta: [\"x\"], beta: [0.0], sigma-obs: 1.0}";
        let refused = greenroom(&[
            "call",
            component,
            "--allow",
            "random",
            function,
            wrong,
            "data={}",
            "opts={algorithm: newt}",
        ]);
        let (code, told) = complaint(&refused);
        assert_eq!(code, Some(2), "{told}");
        for words in ["`init.delta[0]`: expected f64", "`opts.algorithm`: expected algorithm"] {
            assert!(told.contains(words), "{told}");
        }
    });
}
