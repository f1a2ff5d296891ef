//! What `#[module]` makes of a module, as far as it works without a host.

use futures_util::FutureExt as _;
use greenroom_abi::{error::type_name, payload};
use greenroom_guest::Contract;
use greenroom_guest::prelude::*;
use serde::Deserialize;

/// Everything a signature may hold.
#[module]
pub mod samples {
    use greenroom_guest::prelude::*;
    use serde::{Deserialize, Serialize};

    /// An error with a value.
    #[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
    #[error("too large by {by}")]
    pub struct TooLarge {
        /// By how much.
        pub by: i64,
    }

    /// Nothing in, nothing out.
    pub fn nothing() {}

    /// May leave out an argument.
    pub async fn repeat(mut text: String, times: Option<u32>) -> String {
        text = text.repeat(times.unwrap_or(2) as usize);
        text
    }

    /// Fails with its own error.
    pub async fn small(x: i64) -> Result<i64, TooLarge> {
        if x > 10 { Err(TooLarge { by: x - 10 }) } else { Ok(x) }
    }

    /// Fails in any way.
    pub fn any(x: i64) -> Result<(), Fault> {
        if x < 0 {
            fault!("{x} is negative");
        }
        Ok(())
    }

    /// Words of Rust's and WIT's as names.
    pub fn r#type(r#in: u8, func: Vec<u8>) -> (u8, Vec<u8>) {
        helper(r#in, func)
    }

    /// Not exported.
    fn helper(x: u8, y: Vec<u8>) -> (u8, Vec<u8>) {
        (x, y)
    }
}

#[greenroom_guest::main]
async fn main(names: Vec<String>, loud: Option<bool>) -> Result<String, Fault> {
    let greeting = format!("hello {}", names.join(" and "));
    Ok(if loud == Some(true) { greeting.to_uppercase() } else { greeting })
}

/// The serving of a call, from bytes to bytes, as the component boundary does it.
fn serve<E: greenroom_guest::__private::Endpoint>(kwargs: Kwargs) -> Result<Vec<u8>, RemoteActorError> {
    let kwargs = kwargs.into_payload().expect("encodes");
    greenroom_guest::__private::call::<E>(|| "m:f".into(), kwargs)
        .now_or_never()
        .expect("it waits for nothing")
}

fn value<T: for<'de> Deserialize<'de>>(served: Result<Vec<u8>, RemoteActorError>) -> T {
    payload::decode(&served.expect("it succeeds")).expect("decodes")
}

#[test]
fn serves_calls() {
    assert_eq!(value::<String>(serve::<samples::repeat>(kwargs! { text: "a" })), "aa");
    assert_eq!(value::<String>(serve::<samples::repeat>(kwargs! { text: "a", times: 3 })), "aaa");
    value::<()>(serve::<samples::nothing>(kwargs! {}));
    value::<()>(serve::<samples::any>(kwargs! { x: 1 }));
    let (number, list): (u8, Vec<u8>) = value(serve::<samples::r#type>(kwargs! { r#in: 1, func: [2, 3] }));
    assert_eq!((number, list.as_slice()), (1, &[2, 3][..]));
    let hello = serve::<__GreenroomMain>(kwargs! { names: ["ada", "bob"], loud: true });
    assert_eq!(value::<String>(hello), "HELLO ADA AND BOB");
}

#[test]
fn serves_errors() {
    let error = serve::<samples::small>(kwargs! { x: 17 }).expect_err("too large");
    assert_eq!(error.downcast::<samples::TooLarge>(), Some(samples::TooLarge { by: 7 }));
    assert_eq!(error.src_type, type_name::<samples::TooLarge>());
    let error = serve::<samples::any>(kwargs! { x: -1 }).expect_err("negative");
    assert_eq!(error.message, "-1 is negative");
}

#[test]
fn does_not_run_with_bad_arguments() {
    let error = serve::<samples::small>(kwargs! { x: "one", y: 1 }).expect_err("bad arguments");
    let bad: greenroom_guest::kind::BadArguments = error.downcast().expect("of that kind");
    assert_eq!((bad.function.as_str(), bad.unknown), ("m:f", vec!["y".to_owned()]));
    assert_eq!(bad.ill_typed.len(), 1);
    let error = serve::<samples::nothing>(Kwargs::from_payload(vec![0x80])).expect_err("no map");
    assert!(error.is::<greenroom_guest::kind::DecodeError>());
}

#[test]
fn a_call_is_the_map_of_its_arguments() {
    fn call<C: Call>(call: C) -> (&'static str, &'static str, Vec<u8>) {
        (C::MODULE, C::FUNCTION, payload::encode(&call).expect("encodes"))
    }
    let by_name = |kwargs: Kwargs| kwargs.into_payload().expect("encodes");
    assert_eq!(
        call(samples::repeat { text: "a".into(), times: None }),
        ("samples", "repeat", by_name(kwargs! { text: "a" }))
    );
    assert_eq!(
        call(samples::r#type { r#in: 1, func: vec![] }),
        ("samples", "type", by_name(kwargs! { r#in: 1, func: [0_u8; 0] }))
    );
    assert_eq!(call(samples::nothing {}), ("samples", "nothing", by_name(kwargs! {})));
}

#[test]
fn a_module_is_enabled_whole_or_in_part() {
    assert_eq!(samples::MODULE.name(), "samples");
    assert_eq!(samples::MODULE.functions(), ["nothing", "repeat", "small", "any", "type"]);
    let entries: Vec<String> = samples::MODULE.only(["any", "type"]).into_iter().map(Into::into).collect();
    assert_eq!(entries, ["samples:any", "samples:type"]);
}

#[test]
fn a_function_is_still_a_function() {
    assert_eq!(samples::r#type(1, vec![2]), (1, vec![2]));
    let small = samples::small(3).now_or_never().expect("it waits for nothing");
    assert_eq!(small.expect("it is small"), 3);
}

/// A result that cannot be encoded.
#[module]
pub mod broken {
    use serde::{Serialize, Serializer};

    /// Fails to serialize.
    pub struct Broken;

    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("broken"))
        }
    }

    /// Gives it.
    pub fn give() -> Broken {
        Broken
    }
}

#[test]
fn an_unencodable_result_is_an_error() {
    let error = serve::<broken::give>(kwargs! {}).expect_err("broken");
    let kind: greenroom_guest::kind::EncodeError = error.downcast().expect("of that kind");
    assert_eq!(kind.reason, "broken");
}

/// Functions that talk.
#[module]
pub mod talks {
    use greenroom_guest::prelude::*;

    /// Squares what it receives.
    #[context]
    pub async fn squares(
        mut context: Context<Vec<String>, i64, (u8, i64)>,
        n: u32,
        loud: Option<bool>,
    ) -> Result<u32, Fault> {
        context.started(vec![format!("{loud:?}")])?;
        let mut stream = context.open_stream_with(StreamOptions::new().capacity(4))?;
        while let Some((_, x)) = stream.receive().await? {
            stream.send(x * x).await?;
        }
        Ok(n)
    }

    /// Neither fails nor uses its context.
    #[greenroom_guest::context]
    pub async fn idle(_: Context<(), (), ()>) {}
}

#[test]
fn a_context_is_the_map_of_its_arguments_and_declares_its_types() {
    fn call<C: ContextCall>(call: C) -> (&'static str, &'static str, Vec<u8>) {
        (C::MODULE, C::FUNCTION, payload::encode(&call).expect("encodes"))
    }
    fn declares<C>(_: &C)
    where
        C: Contract<First = Vec<String>, Sends = i64, Receives = (u8, i64), Output = u32>,
    {
    }
    let squares = talks::squares { n: 3, loud: None };
    declares(&squares);
    let kwargs = kwargs! { n: 3 }.into_payload().expect("encodes");
    assert_eq!(call(squares), ("talks", "squares", kwargs));
    let types = talks::squares::types();
    assert_eq!((types.first, types.sends), ("Vec<String>", "i64"));
    assert_eq!((types.receives, types.output), ("(u8, i64)", "u32"));
    assert_eq!(talks::idle::types().output, "()");
    assert_eq!(talks::MODULE.functions(), ["squares", "idle"]);
}
