//! A tree whose leaves are written in four languages and keep one contract, `../leaf/leaf.wit`:
//! the root gives each a value of every kind and wants it back, has each fail, and has each break
//! down beside the others.
//!
//! `greenroom run languages.wasm --allow spawn --module rust=languages/rust.wasm --module c=languages/c.wasm
//! --module python=languages/python.wasm --module javascript=languages/javascript.wasm`

mod values;

use std::fmt::Debug;

use greenroom_guest::kind::Trap;
use greenroom_guest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use values::{Drawing, Refusal, Shape};

/// The modules that keep the contract, one for each language.
const LANGUAGES: [&str; 4] = ["rust", "c", "python", "javascript"];

/// How many bytes go there and back.
const BYTES: usize = 1 << 20;

/// An actor that keeps the contract.
struct Leaf {
    /// The language it is written in, the module that it serves.
    language: String,
    portal: Portal,
}

impl Leaf {
    async fn start(nursery: &Nursery, language: String) -> Result<Self, Fault> {
        // What a language brings along may want to know the time, or random numbers.
        let passed_on = SpawnOptions::new().rights(current_actor().rights);
        let portal = nursery.start_actor(&language, [&*language]).with(passed_on).await?;
        Ok(Self { language, portal })
    }

    /// Gives a value, and wants it back as it is.
    async fn echo<T>(&self, function: &str, value: T) -> Result<(), Fault>
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let back: T = self.portal.run_from_ns(&self.language, function, kwargs! { value }).await?;
        if back != value {
            fault!("{}: {function} has made {back:?} of {value:?}", self.language);
        }
        Ok(())
    }

    /// A value of each kind.
    async fn echo_all(&self) -> Result<(), Fault> {
        self.echo("echo-record", Drawing::example()).await?;
        self.echo("echo-list", vec![i32::MIN, -1, 0, 1, i32::MAX]).await?;
        self.echo("echo-option", Some(u64::MAX)).await?;
        self.echo("echo-option", None::<u64>).await?;
        for shape in Shape::examples() {
            self.echo("echo-variant", shape).await?;
        }
        let bytes = (0..BYTES).map(|n| n.to_le_bytes()[n % 3]).collect::<Vec<u8>>();
        self.echo("echo-bytes", ByteBuf::from(bytes)).await
    }

    /// An error of the contract's type, as it arrives.
    async fn fail(&self) -> Result<String, Fault> {
        let refusal = Refusal { code: 403, message: "not today".to_owned() };
        let arguments = kwargs! { code: refusal.code, message: refusal.message };
        match self.portal.run_from_ns::<()>(&self.language, "fail", arguments).await {
            Err(error) if error.downcast_as("refusal") == Some(refusal) => {
                Ok(format!("{}: {}", error.src_type, error.message))
            }
            Err(other) => Err(other.into()),
            Ok(()) => fault!("{}: it was to fail", self.language),
        }
    }

    /// Breaks down, as anything with a fault may.
    async fn trap(&self) -> Result<(), Fault> {
        match self.portal.run_from_ns::<()>(&self.language, "trap", kwargs! {}).await {
            Err(error) if error.is::<Trap>() => Ok(()),
            Err(other) => Err(other.into()),
            Ok(()) => fault!("{}: it was to break down", self.language),
        }
    }
}

/// Has leaves in these `languages` (all of them) keep their contract, and tells of each.
#[greenroom_guest::main]
async fn main(languages: Option<Vec<String>>) -> Result<String, Fault> {
    let languages = languages.unwrap_or_else(|| LANGUAGES.map(str::to_owned).to_vec());
    let nursery = Nursery::open();
    let leaves = try_join_all(languages.into_iter().map(|name| Leaf::start(&nursery, name))).await?;
    let mut lines = Vec::new();
    for leaf in &leaves {
        leaf.echo_all().await?;
        lines.push(format!("{}: all came back; {}", leaf.language, leaf.fail().await?));
    }
    for broken in &leaves {
        let others = leaves.iter().filter(|leaf| leaf.language != broken.language);
        let beside = try_join_all(others.map(|leaf| leaf.echo("echo-option", Some(1))));
        let (trapped, beside) = join(broken.trap(), beside).await;
        trapped?;
        beside?;
        broken.echo("echo-option", Some(2)).await?;
        lines.push(format!("{}: broke down, alone, and goes on", broken.language));
    }
    nursery.cancel().await?;
    Ok(lines.join("\n"))
}
