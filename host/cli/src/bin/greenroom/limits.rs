//! Limits as they are written.
//!
//! Owns: their values as text, both ways. Must not know: what is bounded, who keeps to it.
//! Invariant: what is shown is read as the same again.

use std::time::Duration;

use greenroom::{Limit, LimitError, Limits, Unit};

/// How a bound on time is written that is none.
const NONE: &str = "none";

/// The units in which bytes are written, largest first.
const SIZES: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// The names of all limits.
pub(crate) fn names() -> Vec<&'static str> {
    Limit::ALL.iter().map(|limit| limit.name()).collect()
}

/// A value as it is written.
pub(crate) fn shown(limit: Limit, value: u64) -> String {
    match limit.unit() {
        Unit::Count | Unit::Rate => value.to_string(),
        Unit::Time if never(limit, value) => NONE.to_owned(),
        Unit::Time => humantime::format_duration(Duration::from_nanos(value)).to_string(),
        Unit::Bytes => {
            let whole = SIZES.iter().find(|(_, shift)| value > 0 && value.trailing_zeros() >= *shift);
            whole.map_or_else(|| value.to_string(), |(unit, shift)| format!("{}{unit}", value >> shift))
        }
    }
}

/// What a limit may be, in words.
pub(crate) fn expected(limit: Limit) -> String {
    let [least, most] = [limit.least(), limit.most()].map(|value| shown(limit, value));
    match limit.unit() {
        Unit::Count => format!("a number from {least} to {most}"),
        Unit::Rate => format!("a number a second from {least} to {most}"),
        Unit::Bytes => format!("a size from {least} to {most}, such as \"512KiB\" or \"64MiB\""),
        Unit::Time => format!("a duration from {least} to {most}, such as \"500ms\" or \"2s\""),
    }
}

/// Whether a manifest may give it as a number.
pub(crate) fn is_number(limit: Limit) -> bool {
    limit.unit() != Unit::Time
}

/// Whether a manifest may give it as a string.
pub(crate) fn is_text(limit: Limit) -> bool {
    matches!(limit.unit(), Unit::Time | Unit::Bytes)
}

/// Sets a limit to what is written.
///
/// # Errors
/// What it should have been, in words.
pub(crate) fn set(limits: &mut Limits, limit: Limit, text: &str) -> Result<(), String> {
    let expected = |why: &str| format!("`{}`: expected {}, {why}", limit.name(), expected(limit));
    let value = read(limit, text.trim()).map_err(|why| expected(&why))?;
    limits.set(limit, value).map_err(|error| match error {
        LimitError::OutOfRange { value, .. } => expected(&format!("found {}", shown(limit, value))),
        other => other.to_string(),
    })
}

fn read(limit: Limit, text: &str) -> Result<u64, String> {
    match limit.unit() {
        Unit::Count | Unit::Rate => whole(text, 0),
        Unit::Bytes => {
            match SIZES.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))) {
                Some((number, shift)) => whole(number.trim_end(), shift),
                None => whole(text, 0),
            }
        }
        Unit::Time if text == NONE && never(limit, limit.most()) => Ok(limit.most()),
        Unit::Time => {
            let time = humantime::parse_duration(text);
            let time = time.map_err(|error| format!("but {text:?} is none: {error}"))?;
            Ok(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
        }
    }
}

/// A number of units; what is below zero or does not fit is told as it was written.
fn whole(text: &str, shift: u32) -> Result<u64, String> {
    let number: i128 = text.parse().map_err(|_| "found something else".to_owned())?;
    let fits = u64::try_from(number).ok().and_then(|number| number.checked_mul(1 << shift));
    fits.ok_or_else(|| format!("found {text}"))
}

/// Whether a value is as good as no bound.
fn never(limit: Limit, value: u64) -> bool {
    value == limit.most() && limit.most() == Limit::Wall.most()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(limits: &mut Limits, name: &str, text: &str) -> Result<(), String> {
        super::set(limits, Limit::named(name).expect("known"), text)
    }

    #[test]
    fn what_is_shown_is_read_as_the_same() {
        for limit in Limit::ALL.iter().copied() {
            for value in [limit.least(), limit.default(), limit.most()] {
                let mut limits = Limits::default();
                let text = shown(limit, value);
                assert_eq!(super::set(&mut limits, limit, &text), Ok(()), "{limit:?}");
                assert_eq!(limits.get(limit), value, "{limit:?}: {text}");
            }
        }
    }

    #[test]
    fn sizes_and_times_have_units() {
        let mut limits = Limits::default();
        for (text, bytes) in [("64MiB", 64 << 20), ("2 GiB", 2 << 30), ("2097152", 2 << 20)] {
            assert_eq!(set(&mut limits, "memory", text), Ok(()));
            assert_eq!(limits.memory, bytes);
        }
        assert_eq!(set(&mut limits, "cpu", "1m 30s"), Ok(()));
        assert_eq!(limits.cpu, Duration::from_secs(90));
        assert_eq!(set(&mut limits, "wall", "10s"), Ok(()));
        assert_eq!(set(&mut limits, "wall", "none"), Ok(()));
        assert_eq!(limits.wall_bound(), None);
        for wrong in ["64MB", "MiB", "-1", "99999999999GiB", "many"] {
            assert!(set(&mut limits, "memory", wrong).is_err(), "{wrong}");
        }
        assert!(set(&mut limits, "grace", "none").is_err());
    }

    #[test]
    fn what_is_out_of_bounds_is_told_with_the_bounds() {
        let mut limits = Limits::default();
        assert_eq!(set(&mut limits, "children", "3"), Ok(()));
        assert_eq!(limits.children, 3);
        let wrong = set(&mut limits, "children", "-1").expect_err("negative");
        assert_eq!(wrong, "`children`: expected a number from 0 to 1024, found -1");
        let wrong = set(&mut limits, "spawn", "1h").expect_err("too long");
        assert!(wrong.starts_with("`spawn`: expected a duration from 100ms to 10m"), "{wrong}");
        assert!(wrong.ends_with("found 1h"), "{wrong}");
        assert!(set(&mut limits, "spawn", "soon").is_err());
    }
}
