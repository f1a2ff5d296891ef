//! The bounds that a user may set.
//!
//! Owns: their names and what each may be. Must not know: who keeps to them. Invariant: whatever is
//! accepted keeps every wait bounded.

use std::time::Duration;

use greenroom::Limits;

/// A bound.
pub(crate) struct Limit {
    /// What users call it.
    pub(crate) name: &'static str,
    kind: Kind,
}

enum Kind {
    /// A number of things, and what it may be.
    Count { least: usize, most: usize, field: fn(&mut Limits) -> &mut usize },
    /// A time, and what it may be.
    Time { least: Duration, most: Duration, field: fn(&mut Limits) -> &mut Duration },
}

const MINUTES: Duration = Duration::from_secs(600);

/// All that can be set. The rungs of the cancel ladder cannot: whoever cancels relies on them.
pub(crate) const LIMITS: &[Limit] = &[
    Limit { name: "children", kind: Kind::Count { least: 0, most: 1024, field: |l| &mut l.children } },
    Limit { name: "depth", kind: Kind::Count { least: 0, most: 64, field: |l| &mut l.depth } },
    Limit { name: "actors", kind: Kind::Count { least: 1, most: 4096, field: |l| &mut l.tree } },
    Limit { name: "tasks", kind: Kind::Count { least: 1, most: 65536, field: |l| &mut l.tasks } },
    Limit {
        name: "spawn",
        kind: Kind::Time { least: Duration::from_millis(100), most: MINUTES, field: |l| &mut l.spawn },
    },
    Limit {
        name: "start",
        kind: Kind::Time { least: Duration::from_millis(100), most: MINUTES, field: |l| &mut l.start },
    },
    Limit {
        name: "grace",
        kind: Kind::Time { least: Duration::ZERO, most: Duration::from_millis(400), field: |l| &mut l.grace },
    },
];

impl Limit {
    /// The one of that name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        LIMITS.iter().find(|limit| limit.name == name)
    }

    /// What it may be, in words.
    pub(crate) fn expected(&self) -> String {
        match &self.kind {
            Kind::Count { least, most, .. } => format!("a number from {least} to {most}"),
            Kind::Time { least, most, .. } => {
                let [least, most] = [least, most].map(|time| humantime::format_duration(*time));
                format!("a duration from {least} to {most}, such as \"500ms\" or \"2s\"")
            }
        }
    }

    /// Whether it is a time, which is written as text.
    pub(crate) fn is_time(&self) -> bool {
        matches!(self.kind, Kind::Time { .. })
    }

    /// Sets it.
    ///
    /// # Errors
    /// What it should have been, in words.
    pub(crate) fn set(&self, limits: &mut Limits, text: &str) -> Result<(), String> {
        let expected = |why: &str| format!("`{}`: expected {}, {why}", self.name, self.expected());
        match &self.kind {
            Kind::Count { least, most, field } => {
                let number: i128 = text.trim().parse().map_err(|_| expected("found something else"))?;
                match usize::try_from(number) {
                    Ok(number) if (*least..=*most).contains(&number) => *field(limits) = number,
                    _ => return Err(expected(&format!("found {number}"))),
                }
            }
            Kind::Time { least, most, field } => {
                let time = humantime::parse_duration(text.trim());
                let time = time.map_err(|error| expected(&format!("but {text:?} is none: {error}")))?;
                if !(*least..=*most).contains(&time) {
                    return Err(expected(&format!("found {}", humantime::format_duration(time))));
                }
                *field(limits) = time;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_the_bounds() {
        let mut defaults = Limits::default();
        for limit in LIMITS {
            let inside = match &limit.kind {
                Kind::Count { least, most, field } => (least..=most).contains(&&*field(&mut defaults)),
                Kind::Time { least, most, field } => (least..=most).contains(&&*field(&mut defaults)),
            };
            assert!(inside, "{}", limit.name);
        }
    }

    #[test]
    fn a_task_that_will_not_end_is_given_up_before_its_actor_is_ordered_to_exit() {
        let mut limits = Limits::default();
        let grace = Limit::named("grace").expect("there is one");
        grace.set(&mut limits, "400ms").expect("it is allowed");
        assert!(limits.grace < limits.ask);
        assert!(grace.set(&mut limits, "450ms").is_err());
    }

    #[test]
    fn what_is_out_of_bounds_is_told_with_the_bounds() {
        let mut limits = Limits::default();
        let set = |limits: &mut Limits, name, text| Limit::named(name).expect("known").set(limits, text);
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
