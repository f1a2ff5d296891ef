//! Components that are made to keep a compiler busy, or to break it.
//!
//! Owns: what they hold, byte by byte where no assembler would write it. Must not know: how
//! compiling is bounded. Invariant: each is compiled or refused in time, with a reason, and a host
//! that runs beside it answers meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use greenroom::{Cache, CompileBounds, Engine, ExecCompiler, LoadError};
use greenroom_tests::{Attack, Memory, Options, Wall, World, alone, assert_page_tells, program, say};
use serde_json::{Value, json};

/// What a compiler may take: less than is usual, so that the suite does not take as long.
const TIME: Duration = Duration::from_secs(4);
const MEMORY: u64 = 1 << 30;

/// How long it may be until one is compiled or refused.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long the host beside it may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// How much the program may grow that has one compiled: it holds the component and what comes of it.
const GROWTH: u64 = 256 << 20;

/// A bomb.
struct Bomb {
    attack: Attack,
    make: fn() -> Vec<u8>,
}

macro_rules! bombs {
    ($($id:literal $title:literal $wall:ident $make:expr;)*) => {
        const BOMBS: &[Bomb] = &[$(
            Bomb {
                attack: Attack { id: $id, title: $title, walls: &[Wall::$wall], alone: &[Wall::$wall] },
                make: $make,
            },
        )*];
    };
}

bombs! {
    "compile-01" "a function of seven megabytes" Compiler long_function;
    "compile-02" "blocks in blocks, half a million deep" Compiler deep_blocks;
    "compile-03" "two thousand functions of fifty thousand locals each" Compiler many_locals;
    "compile-04" "a hundred and fifty thousand functions" Compiler many_functions;
    "compile-05" "jumps to sixty thousand places, a hundred times" Compiler wide_jumps;
    "compile-06" "data at both ends of four gigabytes" Compiler far_data;
    "compile-07" "a table of a million functions" Compiler wide_table;
    "compile-08" "types in types, a thousand deep" Engine deep_types;
    "compile-09" "a hundred thousand imports" Compiler many_imports;
    "compile-10" "components in components, a thousand deep" Compiler deep_components;
    "compile-11" "a type that doubles forty times" Engine doubling_types;
    "compile-12" "a thousand instances of one module" Compiler many_instances;
    "compile-13" "a name of a megabyte" Engine long_name;
    "compile-14" "half a million names in a section of their own" Compiler many_names;
    "compile-15" "a number in more bytes than it may have" Engine overlong_number;
    "compile-16" "a section that ends beyond the file" Engine long_section;
    "compile-17" "four billion functions, of which there are none" Engine announced_functions;
    "compile-18" "the same module, two hundred times" Compiler repeated_module;
    "compile-19" "a million globals" Compiler many_globals;
    "compile-20" "a hundred thousand values handed from one component to another" Compiler wide_adapter;
}

/// An unsigned number as WebAssembly writes it.
fn leb(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}

fn sized(content: Vec<u8>) -> Vec<u8> {
    let mut bytes = leb(u32::try_from(content.len()).expect("it fits a section"));
    bytes.extend(content);
    bytes
}

/// So many of the same.
fn vector(count: u32, item: &[u8]) -> Vec<u8> {
    let mut bytes = leb(count);
    bytes.extend(item.repeat(count as usize));
    bytes
}

fn section(id: u8, content: Vec<u8>) -> Vec<u8> {
    [vec![id], sized(content)].concat()
}

/// A component that holds a module, which nobody ever makes an instance of.
fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    let module = [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat();
    let preamble = b"\0asm\x0d\0\x01\0".to_vec();
    [preamble, section(1, module)].concat()
}

/// The type of a function without parameters and results, as the only one.
fn types() -> Vec<u8> {
    section(1, vec![1, 0x60, 0, 0])
}

/// A module with so many functions of one body, which needs no `end`.
fn functions(count: u32, locals: &[u8], body: &[u8]) -> Vec<u8> {
    let code = sized([locals, body, &[0x0b]].concat());
    component(&[types(), section(3, vector(count, &[0])), section(10, vector(count, &code))])
}

fn long_function() -> Vec<u8> {
    // local 0 = local 0 * 3 + 1
    let step = [0x20, 0, 0x41, 3, 0x6c, 0x41, 1, 0x6a, 0x21, 0];
    functions(1, &[1, 1, 0x7f], &step.repeat(700_000))
}

fn deep_blocks() -> Vec<u8> {
    functions(1, &[0], &[[0x02, 0x40].repeat(500_000), vec![0x0b; 500_000]].concat())
}

fn many_locals() -> Vec<u8> {
    let locals = [&[1][..], &leb(50_000), &[0x7e]].concat();
    functions(2000, &locals, &[0x20, 0, 0x21, 1])
}

fn many_functions() -> Vec<u8> {
    functions(150_000, &[0], &[])
}

fn wide_jumps() -> Vec<u8> {
    let table = [&[0x02, 0x40, 0x41, 0, 0x0e][..], &vector(60_000, &[0]), &[0, 0x0b]].concat();
    functions(1, &[0], &table.repeat(100))
}

fn far_data() -> Vec<u8> {
    // A memory of 65536 pages, and a byte at each end of it.
    let memory = section(5, [vec![1, 0], leb(65_536)].concat());
    let data = section(11, [&[2][..], &[0, 0x41, 0, 0x0b, 1, 7], &[0, 0x41, 0x7f, 0x0b, 1, 7]].concat());
    component(&[memory, data])
}

fn wide_table() -> Vec<u8> {
    let table = section(4, [vec![1, 0x70, 0], leb(1_000_000)].concat());
    // A hundred thousand of the same function at a time.
    let place =
        |number: u32| [&[0, 0x41][..], &signed(number * 100_000), &[0x0b], &vector(100_000, &[0])].concat();
    let mut elements = leb(10);
    (0..10).for_each(|number| elements.extend(place(number)));
    let code = section(10, vector(1, &sized(vec![0, 0x0b])));
    component(&[types(), section(3, vec![1, 0]), table, section(9, elements), code])
}

/// A number that is not below 0, as WebAssembly writes one that might be.
fn signed(value: u32) -> Vec<u8> {
    let mut bytes = leb(value);
    if bytes.last().is_some_and(|last| last & 0x40 != 0) {
        let last = bytes.len() - 1;
        bytes[last] |= 0x80;
        bytes.push(0);
    }
    bytes
}

fn text(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("a component")
}

fn deep_types() -> Vec<u8> {
    let mut component = "(component (type $t0 u8)".to_owned();
    for level in 1..1000 {
        let _ = write!(component, "(type $t{level} (list $t{}))", level - 1);
    }
    text(&(component + r#"(import "f" (func (param "x" $t999))))"#))
}

fn many_imports() -> Vec<u8> {
    let mut imports = leb(100_000);
    for number in 0..100_000 {
        imports.extend(sized(b"m".to_vec()));
        imports.extend(sized(format!("f{number}").into_bytes()));
        imports.extend([0, 0]);
    }
    component(&[types(), section(2, imports)])
}

fn deep_components() -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..1000 {
        bytes = [b"\0asm\x0d\0\x01\0".to_vec(), section(4, bytes)].concat();
    }
    bytes
}

fn doubling_types() -> Vec<u8> {
    let mut component = "(component (type $t0 u8)".to_owned();
    for level in 1..40 {
        let _ = write!(component, "(type $t{level} (tuple $t{0} $t{0}))", level - 1);
    }
    text(&(component + r#"(import "f" (func (param "x" $t39))))"#))
}

fn many_instances() -> Vec<u8> {
    let mut component = r#"(component (core module $m (memory 1) (func (export "f")))"#.to_owned();
    for _ in 0..999 {
        component += "(core instance (instantiate $m))";
    }
    text(&(component + ")"))
}

fn long_name() -> Vec<u8> {
    let export = [vec![1], sized(vec![b'x'; 1 << 20]), vec![0, 0]].concat();
    let code = section(10, vector(1, &sized(vec![0, 0x0b])));
    component(&[types(), section(3, vec![1, 0]), section(7, export), code])
}

fn many_names() -> Vec<u8> {
    let mut names = leb(500_000);
    for number in 0..500_000 {
        names.extend(leb(number));
        names.extend(sized(format!("a_function_with_a_rather_long_name_{number}").into_bytes()));
    }
    let custom = [sized(b"name".to_vec()), section(1, names)].concat();
    let code = section(10, vector(1, &sized(vec![0, 0x0b])));
    component(&[types(), section(3, vec![1, 0]), code, section(0, custom)])
}

fn overlong_number() -> Vec<u8> {
    // The number of types is 1, in six bytes.
    component(&[section(1, vec![0x81, 0x80, 0x80, 0x80, 0x80, 0x00, 0x60, 0, 0])])
}

fn long_section() -> Vec<u8> {
    component(&[[&[1][..], &leb(u32::MAX), &[1, 0x60, 0, 0]].concat()])
}

fn announced_functions() -> Vec<u8> {
    component(&[types(), section(3, leb(u32::MAX))])
}

fn repeated_module() -> Vec<u8> {
    let step = [0x20, 0, 0x41, 3, 0x6c, 0x41, 1, 0x6a, 0x21, 0];
    let one = functions(1, &[1, 1, 0x7f], &step.repeat(10_000));
    let (preamble, module) = one.split_at(8);
    [preamble, &module.repeat(200)].concat()
}

fn many_globals() -> Vec<u8> {
    component(&[section(6, vector(1_000_000, &[0x7f, 1, 0x41, 0, 0x0b]))])
}

fn wide_adapter() -> Vec<u8> {
    let mut types = "(type $t0 string)".to_owned();
    for level in 1..=17 {
        let _ = write!(types, "(type $t{level} (tuple $t{0} $t{0}))", level - 1);
    }
    let memory = r#"(memory (export "m") 1)
        (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 0))"#;
    text(&format!(
        r#"(component
            (component $callee {types}
                (core module $m {memory} (func (export "f") (param i32)))
                (core instance $i (instantiate $m))
                (func (export "f") (param "x" $t17)
                    (canon lift (core func $i "f") (memory (core memory $i "m")) (realloc (core func $i "r")))))
            (component $caller {types}
                (import "f" (func $f (param "x" $t17)))
                (core module $l {memory})
                (core instance $l (instantiate $l))
                (core func $f (canon lower (func $f) (memory (core memory $l "m")) (realloc (core func $l "r"))))
                (core module $m (import "" "f" (func (param i32))))
                (core instance (instantiate $m (with "" (instance (export "f" (func $f)))))))
            (instance $a (instantiate $callee))
            (instance (instantiate $caller (with "f" (func $a "f")))))"#
    ))
}

#[test]
fn the_page_tells_of_the_components() {
    let attacks: Vec<Attack> = BOMBS.iter().map(|bomb| bomb.attack).collect();
    assert_page_tells("compile", 20, &attacks);
}

#[test]
fn every_component_is_compiled_or_refused_in_time() {
    alone(async |place| {
        let world = World::with(place, Options::default()).await;
        let bounds = CompileBounds { time: TIME, memory: MEMORY, ..CompileBounds::default() };
        let compiler = ExecCompiler { bounds, ..ExecCompiler::new(program()) };
        let cache = Cache::open(&place.folder().join("cache"), compiler).expect("a cache");
        let (cache, engine) = (Arc::new(cache), Engine::new().expect("an engine"));
        let mut too_long = 0;
        for Bomb { attack, make } in BOMBS {
            let id = attack.id;
            let file = place.folder().join(format!("{id}.wasm"));
            fs::write(&file, make()).expect("a file");
            let before = held();
            let (mut most, mut slowest) = (before, Duration::ZERO);
            let began = Instant::now();
            let (cache, engine, component) = (cache.clone(), engine.clone(), file.clone());
            let compiling = thread::spawn(move || cache.load(&engine, &component).map(drop));
            while !compiling.is_finished() {
                assert!(began.elapsed() < PATIENCE, "{id} is neither compiled nor refused in {PATIENCE:?}");
                let asked = Instant::now();
                let answer = world.call::<Value>(&[], "stage:whoami", &json!({}));
                let answer = tokio::time::timeout(ANSWER, answer).await;
                assert!(matches!(answer, Ok(Ok(_))), "beside {id}: {answer:?}");
                slowest = asked.elapsed().max(slowest);
                most = held().max(most);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let took = began.elapsed();
            let loaded = compiling.join().expect("whoever has a component compiled is unharmed");
            let told = loaded.as_ref().map_or_else(ToString::to_string, |()| "compiled".to_owned());
            let (told, grown): (String, _) = (told.chars().take(200).collect(), most - before);
            say(&format!("{id}: {took:?}, {} MiB, answers within {slowest:?}: {told}", grown >> 20));
            assert!(grown < GROWTH, "{id}: the broker's program grew by {grown} bytes");
            match (attack.walls, loaded) {
                ([Wall::Engine], loaded) => {
                    let refused = matches!(loaded, Err(LoadError::Compile { .. }));
                    assert!(refused, "{id} is nothing that can be compiled: {told}");
                }
                (_, Err(LoadError::TooMuch { .. })) => too_long += 1,
                (_, Ok(()) | Err(LoadError::Compile { .. })) => {}
                (_, Err(error)) => panic!("{id}: {error}"),
            }
            fs::remove_file(&file).expect("it is there");
        }
        assert!(too_long > 0, "nothing takes as long as it may, so that nothing shows what becomes of it");
        world.end().await;
    });
}

/// What this process holds, in which the broker runs.
fn held() -> u64 {
    let own = i32::try_from(std::process::id()).expect("a process has a number");
    Memory::of(own).expect("it is there").dirty
}
