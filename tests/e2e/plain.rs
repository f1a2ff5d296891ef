//! Plain functions: of a component that knows nothing of Greenroom.
//!
//! Owns: clause C14, and what C3, C8, C11 and C12 come to for such functions.

use std::time::{Duration, Instant};

use greenroom::{Cache, CallOptions, Engine, ExportKind, Isolation, Portal, RemoteError, SpawnSpec, payload};
use greenroom_tests::kind::{
    BadArguments, ContextCancelled, DeadlineExceeded, DecodeError, FunctionNotFound, InstanceLost,
    ModuleNotExposed, Trap,
};
use greenroom_tests::{Options, World, alone, guest, until};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

/// Soon enough for what is to happen at once, on a machine that does much else.
const SOON: Duration = Duration::from_secs(2);

/// An actor with the plain component under two names: `plain` as it is, `kept` in one instance.
async fn leaf(world: &World) -> Portal {
    actor(world, "leaf", &["plain", "kept"]).await
}

async fn actor(world: &World, name: &str, modules: &[&str]) -> Portal {
    let modules = modules.iter().map(|module| (*module).to_owned()).collect();
    let spec = SpawnSpec { name: name.to_owned(), modules, ..SpawnSpec::default() };
    world.host().nursery().start(spec, None).await.expect("it starts")
}

fn options() -> Options {
    Options {
        components: vec![("plain".to_owned(), guest("plain"))],
        isolated: vec![
            ("kept".to_owned(), guest("plain"), Isolation::Actor),
            ("fresh".to_owned(), guest("faults"), Isolation::Task),
        ],
        ..Options::default()
    }
}

async fn call<T: DeserializeOwned>(
    portal: &Portal,
    function: &str,
    kwargs: &impl Serialize,
) -> Result<T, Box<RemoteError>> {
    let kwargs = payload::encode(kwargs).expect("arguments that can be encoded");
    let bytes = portal.call(function, kwargs.into()).await?;
    Ok(payload::decode(&bytes).expect("a result of that type"))
}

/// Calls a function that is to fail.
async fn failure(portal: &Portal, function: &str, kwargs: Value) -> RemoteError {
    *call::<Value>(portal, function, &kwargs).await.expect_err("it fails")
}

#[test]
fn c14_every_kind_of_value_comes_back_as_it_went() {
    alone(async |place| {
        let world = World::with(place, options()).await;
        let leaf = leaf(&world).await;
        let point = json!({"x": -1, "y": 2});
        let home = json!({"full-name": "home", "point": point, "tags": ["a", ""], "height": 1.5});
        let bare = json!({"full-name": "", "point": point, "tags": [], "height": null});
        let same = [
            ("echo-bool", json!(true)),
            ("echo-char", json!("ß")),
            ("echo-string", json!("many words")),
            ("echo-list", json!([0, 65_535])),
            ("echo-place", home.clone()),
            ("echo-places", json!([home, null, bare])),
            ("echo-size", json!("mid-size")),
            ("echo-shape", json!("nothing")),
            ("echo-shape", json!({"circle": 3})),
            ("echo-shape", json!({"polygon": [point]})),
            ("echo-shape", json!({"sized": ["large", "x"]})),
            ("echo-rights", json!(["read", "run-it"])),
            ("echo-options", json!(null)),
            ("echo-options", json!([null])),
            ("echo-options", json!([7])),
            ("echo-results", json!([{"ok": 1}, {"err": "no"}])),
            ("echo-later", json!("later")),
        ];
        for (function, value) in same {
            let function = format!("plain/values:{function}");
            let back = call::<Value>(&leaf, &function, &json!({"v": value})).await;
            assert_eq!(back, Ok(value), "{function}");
        }
        let least = json!({"a": i8::MIN, "b": 0, "c": i16::MIN, "d": 0, "e": i32::MIN, "f": 0, "g": i64::MIN, "h": 0});
        let back = call::<Value>(&leaf, "plain:echo_integers", &least).await.expect("in range");
        assert_eq!(back, json!([i8::MIN, 0, i16::MIN, 0, i32::MIN, 0, i64::MIN, 0]));
        let most = json!({"a": i8::MAX, "b": u8::MAX, "c": i16::MAX, "d": u16::MAX, "e": i32::MAX, "f": u32::MAX,
            "g": i64::MAX, "h": u64::MAX});
        let back = call::<Value>(&leaf, "plain:echo_integers", &most).await.expect("in range");
        assert_eq!(
            back,
            json!([i8::MAX, u8::MAX, i16::MAX, u16::MAX, i32::MAX, u32::MAX, i64::MAX, u64::MAX])
        );
        let (a, b): (f32, f64) =
            call(&leaf, "plain:echo_floats", &(json!({"a": 1, "b": 0.1}))).await.expect("floats");
        assert_eq!((a, b), (1.0, 0.1));
        assert_eq!(call::<()>(&leaf, "plain:nothing", &json!({})).await, Ok(()));
        world.end().await;
    });
}

#[test]
fn c14_bytes_are_bytes() {
    #[derive(Serialize)]
    struct Bytes<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(rename = "v", skip_serializing_if = "Option::is_none")]
        v: Option<ByteBuf>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<ByteBuf>,
    }
    #[derive(Serialize)]
    struct Wrapped {
        v: (String, ByteBuf),
    }
    alone(async |place| {
        let world = World::with(place, options()).await;
        let leaf = leaf(&world).await;
        let large: ByteBuf = (0..1 << 20).map(|i: u32| i.to_le_bytes()[1]).collect::<Vec<u8>>().into();
        let v = Bytes { name: None, v: Some(large.clone()), data: None };
        assert!(call::<ByteBuf>(&leaf, "plain:echo-bytes", &v).await == Ok(large.clone()), "they differ");
        for (name, back) in [("", None), ("a", Some(large.clone()))] {
            let named = Bytes { name: Some(name), v: None, data: Some(large.clone()) };
            let got: Option<ByteBuf> = call(&leaf, "plain:named-bytes", &named).await.expect("bytes");
            assert!(got == back, "they differ");
        }
        let wrapped = Wrapped { v: ("a".to_owned(), large.clone()) };
        let got: (String, ByteBuf) = call(&leaf, "plain:wrapped-bytes", &wrapped).await.expect("bytes");
        assert!(got == wrapped.v, "they differ");
        let list: ByteBuf = call(&leaf, "plain:echo-bytes", &json!({"v": [1, 2]})).await.expect("bytes");
        assert_eq!(list, [1, 2]);
        world.end().await;
    });
}

#[test]
fn c14_a_guest_calls_a_plain_function_by_name() {
    alone(async |place| {
        let world = World::with(place, options()).await;
        let _child = world.keep_with(&[], "child", &["plain", "stage"], &[], &[]).await.expect("it starts");
        for function in ["plain:twice", "plain:twice-later"] {
            let back = world.call::<String>(&["child"], function, &json!({"text": "ab"})).await;
            assert_eq!(back.as_deref(), Ok("abab"), "{function}");
        }
        let error = world.call::<Value>(&["child"], "plain/faults:fail", &json!({"how": 1})).await;
        let error = error.expect_err("it fails");
        assert_eq!((error.src_type.as_str(), error.message.as_str()), ("failure", "broken: lost"));
        world.end().await;
    });
}

#[test]
fn c14_a_function_goes_by_each_of_its_names() {
    alone(async |place| {
        let world = World::with(place, options()).await;
        let leaf = leaf(&world).await;
        for function in [
            "plain/test:plain/faults@0.1.0:count",
            "plain/test:plain/faults:count",
            "plain/faults:count",
            "plain:count",
        ] {
            assert_eq!(call::<u32>(&leaf, function, &json!({})).await, Ok(1), "{function}");
        }
        let both = actor(&world, "both", &["plain/faults", "plain/test:plain/values"]).await;
        for function in ["plain/faults:count", "plain/test:plain/faults:count"] {
            assert_eq!(call::<u32>(&both, function, &json!({})).await, Ok(1), "{function}");
        }
        assert!(failure(&both, "plain:twice", json!({})).await.is::<ModuleNotExposed>());
        let near = failure(&leaf, "plain/faults:cuont", json!({})).await;
        let near: FunctionNotFound = near.kind().expect("no such function");
        assert_eq!(near.near.first().map(String::as_str), Some("count"));
        for function in ["plain:make", "plain:sum", "plain:promise"] {
            let error = failure(&leaf, function, json!({})).await;
            assert!(error.is::<FunctionNotFound>(), "{function}: {error}");
        }
        world.end().await;
    });
}

#[test]
fn c14_an_error_keeps_its_type_its_message_and_its_value() {
    alone(async |place| {
        let world = World::with(place, options()).await;
        let leaf = leaf(&world).await;
        let alone = actor(&world, "leaf", &["plain/test:plain/faults@0.1.0"]).await;
        let cases = [
            ("fail", json!({"how": 0}), "failure", "not-found: the door", json!({"not-found": "the door"})),
            ("fail", json!({"how": 1}), "failure", "broken: lost", json!({"broken": "lost"})),
            ("fail", json!({"how": 2}), "failure", "refused", json!("refused")),
            (
                "complain",
                json!({"code": 7}),
                "trouble",
                "it is too loud",
                json!({"code": 7, "message": "it is too loud"}),
            ),
            ("say", json!({"text": "so"}), "error", "so", json!("so")),
            ("give-up", json!({}), "error", "the function failed, and says no more", json!(null)),
        ];
        for (function, kwargs, src_type, message, value) in cases {
            for (actor, module) in
                [(&leaf, "plain"), (&leaf, "kept"), (&alone, "plain/test:plain/faults@0.1.0")]
            {
                let error = failure(actor, &format!("{module}:{function}"), kwargs.clone()).await;
                assert_eq!((error.src_type.as_str(), error.message.as_str()), (src_type, message));
                assert_eq!(error.src_actor.map(|actor| actor.name).as_deref(), Some("leaf"));
                let kept = error.value.expect("its value is with it");
                assert_eq!(payload::decode::<Value>(&kept), Ok(value.clone()), "{module}:{function}");
            }
        }
        assert_eq!(call::<u8>(&leaf, "plain:fail", &json!({"how": 9})).await, Ok(9));
        world.end().await;
    });
}

#[test]
fn c14_wrong_arguments_are_told_before_the_guest_sees_any() {
    alone(async |place| {
        let world = World::with(place, options()).await;
        let leaf = leaf(&world).await;
        let place = |point: Value| json!({"v": {"full-name": "n", "point": point, "tags": []}});
        let range = "out of range";
        let cases = [
            ("echo-bool", json!({"v": 1}), vec!["`v`: expected bool, got 1"]),
            ("echo-bool", json!({}), vec!["missing: `v`"]),
            ("echo-bool", json!({"v": true, "w": 1}), vec!["unknown: `w`"]),
            ("echo-char", json!({"v": "ab"}), vec!["a text of one character"]),
            ("echo-list", json!({"v": [1, 65_536]}), vec!["`v[1]`: expected u16, got 65536", range]),
            ("echo-list", json!({"v": "1"}), vec!["expected list<u16>, got \"1\""]),
            ("echo-bytes", json!({"v": [1, 256]}), vec!["`v[1]`: expected u8, got 256", range]),
            ("echo-place", place(json!({"x": 1})), vec!["`v.point.y`: expected s32, got nothing"]),
            (
                "echo-place",
                place(json!({"x": 1, "y": 2, "z": 3})),
                vec!["`v.point.z`: there is no such field"],
            ),
            ("echo-place", place(json!([1, 2])), vec!["`v.point`: expected record { x: s32, y: s32 }"]),
            ("echo-size", json!({"v": "mid"}), vec!["did you mean `mid-size`?"]),
            ("echo-shape", json!({"v": {"circle": -1}}), vec!["`v.circle`: expected u32, got -1", range]),
            ("echo-shape", json!({"v": "circle"}), vec!["`circle` holds u32"]),
            ("echo-rights", json!({"v": ["read", "read"]}), vec!["`v[1]`", "given twice"]),
            ("echo-options", json!({"v": 1}), vec!["an option in an option"]),
            ("echo-results", json!({"v": [{"ok": 1}, {"oh": 1}]}), vec!["`v[1]`", "`ok` or `err`"]),
            // All of it is told at once.
            (
                "echo-integers",
                json!({"a": 128, "b": -1, "c": "x", "d": 0, "e": 0, "f": 0, "g": 0, "i": 1}),
                vec![
                    "unknown: `i`",
                    "missing: `h`",
                    "`a`: expected s8",
                    "`b`: expected u8",
                    "`c`: expected s16",
                ],
            ),
        ];
        for module in ["plain", "kept"] {
            for (function, kwargs, says) in &cases {
                let error = failure(&leaf, &format!("{module}:{function}"), kwargs.clone()).await;
                assert!(error.is::<BadArguments>(), "{function}: {error}");
                for says in says {
                    assert!(error.message.contains(says), "{function}: {} has no {says:?}", error.message);
                }
            }
        }
        for bytes in [&b"\x01"[..], b"\xa1\x01\x02", b"\xa1", b"\xa1\x61v\x61\xff"] {
            let error =
                leaf.call("plain:echo-string", bytes.to_vec().into()).await.expect_err("no arguments");
            assert!(error.is::<DecodeError>(), "{error}");
        }
        // The instance that is kept was never called.
        assert_eq!(call::<u32>(&leaf, "kept:count", &json!({})).await, Ok(1));
        world.end().await;
    });
}

#[test]
fn c14_each_task_has_an_instance_of_its_own_unless_they_are_to_share_one() {
    alone(async |place| {
        let world = World::with(place, options()).await;
        let leaf = leaf(&world).await;
        for number in 1..4 {
            assert_eq!(call::<u32>(&leaf, "plain:count", &json!({})).await, Ok(1));
            assert_eq!(call::<u32>(&leaf, "kept:count", &json!({})).await, Ok(number));
        }
        // Functions of the SDK share one, unless they are not to.
        let other = actor(&world, "other", &["faults/faults", "fresh/faults"]).await;
        for number in 1..4 {
            assert_eq!(call::<u32>(&other, "fresh/faults:count", &json!({})).await, Ok(1));
            assert_eq!(call::<u32>(&other, "faults/faults:count", &json!({})).await, Ok(number));
        }
        world.end().await;
    });
}

#[test]
fn c14_what_ends_one_task_hurts_no_other() {
    alone(async |place| {
        let world = World::with(place, options()).await;
        let leaf = leaf(&world).await;
        let waiting = leaf.call("plain:wait", Vec::new().into());
        let error = failure(&leaf, "plain:trap", json!({})).await;
        let trap: Trap = error.kind().expect("a trap");
        assert!(trap.code.contains("unreachable"), "{}", trap.code);
        assert!(error.trace.contains("trap"), "{}", error.trace);
        let error = failure(&leaf, "plain:panic", json!({"text": "no way"})).await;
        assert!(error.is::<Trap>(), "nobody tells the host of a panic: {error}");
        let error = failure(&leaf, "plain:exit", json!({"status": 3})).await;
        assert!(error.message.contains("exit with status"), "{error}");
        let error = failure(&leaf, "plain:exit", json!({"status": 0})).await;
        assert!(error.message.contains("exit with status 0"), "{error}");
        assert_eq!(call::<()>(&leaf, "plain:finish", &json!({})).await, Ok(()), "it says that all went well");
        // In one instance, the others are lost with it, and the next gets another.
        let shared = leaf.call("kept:wait", Vec::new().into());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(failure(&leaf, "kept:trap", json!({})).await.is::<Trap>());
        assert!(shared.await.expect_err("it is lost").is::<InstanceLost>());
        assert_eq!(call::<u32>(&leaf, "kept:count", &json!({})).await, Ok(1));
        let mut waiting = std::pin::pin!(waiting);
        let still = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(still.is_err(), "it waits on");
        world.end().await;
    });
}

#[test]
fn c14_a_task_that_is_cancelled_is_gone_with_its_instance() {
    alone(async |place| {
        let world = World::with(place, options()).await;
        let leaf = leaf(&world).await;
        for function in ["plain:spin", "plain:wait"] {
            let began = Instant::now();
            let spinning = leaf.call(function, Vec::new().into());
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(spinning);
            assert_eq!(call::<u32>(&leaf, "plain:count", &json!({})).await, Ok(1));
            assert!(began.elapsed() < SOON, "{function} took {:?}", began.elapsed());
        }
        let soon = || CallOptions { timeout: Some(Duration::from_millis(50)), ..CallOptions::default() };
        let late = leaf.call_with("plain:spin", Vec::new().into(), soon()).await;
        assert!(late.expect_err("it is late").is::<DeadlineExceeded>());
        // What shares its instance is given its time, and then ends with all of it.
        let kept = leaf.call_with("kept:spin", Vec::new().into(), soon()).await;
        let error = kept.expect_err("it is late");
        assert!(error.is::<DeadlineExceeded>() || error.is::<ContextCancelled>(), "{error}");
        let fresh = until("a fresh instance", SOON, async || {
            call::<u32>(&leaf, "kept:count", &json!({}))
                .await
                .map_err(|lost| assert!(lost.is::<InstanceLost>()))
                .ok()
        });
        assert_eq!(fresh.await, 1);
        // Nothing spins on: the actor leaves when it is asked to.
        assert!(world.end().await < SOON);
    });
}

#[test]
fn c14_inspection_tells_what_a_function_takes_or_why_it_cannot_be_called() {
    let engine = Engine::new().expect("an engine");
    let cache =
        Cache::open_default(greenroom::ExecCompiler::new(greenroom_tests::program())).expect("a cache");
    let info = cache.load(&engine, &guest("plain")).expect("a component").info;
    let kind = |function: &str| {
        let export = info.exports.iter().find(|export| export.function == function);
        export.map(|export| export.kind.clone()).expect("there is such a function")
    };
    let text = |function: &str| match kind(function) {
        ExportKind::Plain(ty) => ty.to_string(),
        other => panic!("{function} is {other:?}"),
    };
    assert_eq!(text("twice"), "(text: string) -> string");
    assert_eq!(text("echo-places"), "(v: list<option<place>>) -> list<option<place>>");
    assert_eq!(text("fail"), "(how: u8) -> result<u8, failure>");
    assert_eq!(text("nothing"), "()");
    let ExportKind::Plain(ty) = kind("echo-shape") else { panic!("it is plain") };
    assert_eq!(
        ty.params[0].1.definition().to_string(),
        "variant { nothing, circle(u32), polygon(list<point>), sized(tuple<size, string>) }"
    );
    for (function, says) in [
        ("make", "its result holds a resource"),
        ("sum", "its parameter `all` holds a stream<u32>: wasmtime 48"),
        ("promise", "its result holds a future"),
    ] {
        let ExportKind::Uncallable { reason } = kind(function) else { panic!("{function} is callable") };
        assert!(reason.starts_with(says), "{function}: {reason}");
    }
}
