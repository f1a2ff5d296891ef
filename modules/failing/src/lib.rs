//! A failure three levels down: raised in a leaf, relayed by a middle actor, told apart at the
//! root, where the original error value comes back out.
//!
//! `greenroom run failing.wasm --allow spawn` fails with the boxed error and its relay path;
//! `greenroom run failing.wasm --allow spawn kind=panic report=true` says instead what arrived.

mod report;

use greenroom_guest::prelude::*;

/// Ways for a call to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The function returns an error of its own type.
    Error,
    /// It panics.
    Panic,
    /// It reads where it has no memory.
    Oob,
    /// It runs into code that cannot be reached.
    Unreachable,
    /// The module has no such function.
    UnknownFunction,
    /// The actor was not started with such a module.
    NotEnabled,
    /// The arguments do not fit.
    BadArguments,
    /// The result cannot be encoded.
    Unencodable,
}

/// What a bank refuses with.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, thiserror::Error)]
pub enum BankError {
    /// There is not enough.
    #[error("account `{account}` is short of {short}")]
    Overdrawn {
        /// Whose account.
        account: String,
        /// By how much.
        short: u64,
    },
}

/// What the leaf serves: each function fails in its own way.
#[module]
pub mod bank {
    use super::BankError;
    use std::collections::BTreeMap;

    /// Fails with an error of its own.
    pub async fn withdraw(account: String, amount: u64) -> Result<u64, BankError> {
        const BALANCE: u64 = 100;
        let short = amount.saturating_sub(BALANCE);
        if short > 0 { Err(BankError::Overdrawn { account, short }) } else { Ok(BALANCE - amount) }
    }

    /// Panics.
    pub fn audit() {
        panic!("the vault is empty");
    }

    /// Reads beyond the end of its memory.
    #[expect(unsafe_code, reason = "safe code cannot trap this way, which is what is shown")]
    pub fn peek() -> u8 {
        let nowhere = std::hint::black_box(u32::MAX as usize - 8) as *const u8;
        // SAFETY: there is none: in a component the sandbox turns this into a trap.
        unsafe { nowhere.read_volatile() }
    }

    /// Executes WebAssembly's `unreachable`.
    pub fn vanish() {
        #[cfg(target_family = "wasm")]
        core::arch::wasm32::unreachable();
    }

    /// Gives a value that cannot be encoded.
    pub fn ledger() -> super::report::Unencodable {
        super::report::Unencodable(BTreeMap::new())
    }
}

/// What the middle actor serves: it calls a leaf of its own, and passes on what comes back.
#[module]
pub mod middle {
    use super::{Kind, bank};
    use greenroom_guest::prelude::*;

    /// Has a leaf fail in the given way.
    pub async fn fail(kind: Kind) -> Result<(), Fault> {
        let nursery = Nursery::open();
        let leaf = nursery.start_actor("leaf", [bank::MODULE]).await?;
        match kind {
            Kind::Error => drop(leaf.run(bank::withdraw { account: "ada".into(), amount: 130 }).await?),
            Kind::Panic => leaf.run(bank::audit {}).await?,
            Kind::Oob => drop(leaf.run(bank::peek {}).await?),
            Kind::Unreachable => leaf.run(bank::vanish {}).await?,
            Kind::UnknownFunction => leaf.run_from_ns("bank", "withdrew", kwargs! {}).await?,
            Kind::NotEnabled => leaf.run_from_ns("middle", "fail", kwargs! { kind }).await?,
            Kind::BadArguments => {
                let wrong = kwargs! { amount: "much", currency: "EUR" };
                leaf.run_from_ns("bank", "withdraw", wrong).await?
            }
            Kind::Unencodable => leaf.run_from_ns("bank", "ledger", kwargs! {}).await?,
        }
        fault!("the leaf was to fail with {kind:?}, and did not")
    }
}

/// Lets a leaf fail, and passes its error on, or reports on it if asked.
#[greenroom_guest::main]
async fn main(kind: Option<Kind>, report: Option<bool>) -> Result<String, Fault> {
    let nursery = Nursery::open();
    let middle = nursery.start_actor("middle", [middle::MODULE, bank::MODULE]);
    let middle = middle.with(SpawnOptions::new().grant_spawn()).await?;
    let Err(error) = middle.run(middle::fail { kind: kind.unwrap_or(Kind::Error) }).await else {
        fault!("the call was to fail");
    };
    middle.cancel_actor().await?;
    if report == Some(true) { Ok(report::describe(&error)) } else { Err(error.into()) }
}
