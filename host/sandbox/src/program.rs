//! A table of verdicts on system calls, as a program for the kernel.
//!
//! Owns: the instructions. Must not know: which calls there are, or why they are judged so.
//! Invariant: every way through a program ends with a verdict.
//!
//! The kernel runs a program on each call, and once for every number of a call when it is installed;
//! before that it compiles it, in several passes. So the number is looked for by halving, not one after
//! the other, and each verdict stands in few places: with some hundred calls that makes the wall several
//! times cheaper to raise.

use std::collections::BTreeMap;

use libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W};
use seccompiler::{BpfProgram, sock_filter};

use crate::calls::{Test, Way};

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this error.
    Refuse(i32),
    /// The process is ended.
    Kill,
    /// It is made in one of these ways, and fails with the error otherwise.
    Ways(&'static [Way], i32),
}

/// Where the kernel puts what a program looks at.
const NUMBER_AT: u32 = 0;
const MACHINE_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// The machine whose calls are meant: their numbers are others on another.
#[cfg(target_arch = "x86_64")]
pub(crate) const MACHINE: u32 = 0xc000_003e;
/// The machine whose calls are meant: their numbers are others on another.
#[cfg(target_arch = "aarch64")]
pub(crate) const MACHINE: u32 = 0xc000_00b7;

/// The program that judges by this table, and whatever is not in it by `others`. Calls that name a
/// process are compared with `process`.
pub(crate) fn assemble(table: &BTreeMap<u32, Verdict>, others: Verdict, process: u32) -> BpfProgram {
    let mut ranges: Vec<(u32, Verdict)> = vec![(0, others)];
    let mut begin = |at: u32, verdict: Verdict| {
        if ranges.last().is_some_and(|(start, _)| *start == at) {
            ranges.pop();
        }
        if ranges.last().is_none_or(|(_, before)| *before != verdict) {
            ranges.push((at, verdict));
        }
    };
    for (number, verdict) in table {
        begin(*number, *verdict);
        begin(number + 1, others);
    }
    let mut writer = Writer::default();
    let found = writer.search(&ranges, process);
    if writer.distance(found) > 0 {
        writer.jump_to(found);
    }
    writer.write(vec![
        load(MACHINE_AT),
        jump(BPF_JEQ, MACHINE, 1, 0),
        give(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER_AT),
    ]);
    writer.backward.reverse();
    writer.backward
}

/// How many instructions a comparison may pass over, with room for two jumps that pass over more.
const NEAR: usize = u8::MAX as usize - 2;

/// A program as it is written, its end first: it jumps forward only, and so to what is there already.
#[derive(Default)]
struct Writer {
    backward: BpfProgram,
    /// Where each verdict was last given.
    given: Vec<(Verdict, usize)>,
}

impl Writer {
    /// Writes instructions that are in order; gives the place of the first.
    fn write(&mut self, program: BpfProgram) -> usize {
        self.backward.extend(program.into_iter().rev());
        self.backward.len() - 1
    }

    /// How many instructions the next one would pass over to get there.
    fn distance(&self, place: usize) -> usize {
        self.backward.len() - 1 - place
    }

    fn jump_to(&mut self, place: usize) -> usize {
        let past = u32::try_from(self.distance(place)).expect("a program is short");
        self.write(vec![instruction(BPF_JMP | BPF_JA, past, 0, 0)])
    }

    /// Where a comparison can go to get to that place.
    fn reach(&mut self, place: usize) -> usize {
        if self.distance(place) > NEAR { self.jump_to(place) } else { place }
    }

    /// Finds the range that the number is in, and judges.
    fn search(&mut self, ranges: &[(u32, Verdict)], process: u32) -> usize {
        if let [(_, verdict)] = ranges {
            return self.judge(*verdict, process);
        }
        let (low, high) = ranges.split_at(ranges.len() / 2);
        let start = high[0].0;
        let (low, high) = (self.search(low, process), self.search(high, process));
        let (low, high) = (self.reach(low), self.reach(high));
        let near = |place| u8::try_from(self.distance(place)).expect("it was brought near");
        self.write(vec![jump(BPF_JGE, start, near(high), near(low))])
    }

    /// Gives a verdict, where it is given already if that is near.
    fn judge(&mut self, verdict: Verdict, process: u32) -> usize {
        let given = self.given.iter().position(|(other, _)| *other == verdict);
        if let Some(given) = given
            && self.distance(self.given[given].1) < NEAR
        {
            return self.given[given].1;
        }
        let place = self.write(judged(verdict, process));
        given.map(|old| self.given.swap_remove(old));
        self.given.push((verdict, place));
        place
    }
}

fn judged(verdict: Verdict, process: u32) -> BpfProgram {
    match verdict {
        Verdict::Allow => vec![give(libc::SECCOMP_RET_ALLOW)],
        Verdict::Refuse(error) => vec![refuse(error)],
        Verdict::Kill => vec![give(libc::SECCOMP_RET_KILL_PROCESS)],
        Verdict::Ways(ways, error) => {
            let mut program: BpfProgram = ways.iter().flat_map(|way| check(way, process)).collect();
            program.push(refuse(error));
            program
        }
    }
}

/// Allows the call if all tests hold, and goes on behind itself otherwise.
fn check(way: Way, process: u32) -> BpfProgram {
    let mut program = vec![give(libc::SECCOMP_RET_ALLOW)];
    for (place, test) in way.iter().rev() {
        let low = ARGUMENTS_AT + 8 * u32::from(*place);
        let rest = u8::try_from(program.len()).expect("a way has few tests");
        let equal = |value: u32, rest: u8| jump(BPF_JEQ, value, 0, rest);
        // The kernel takes most arguments as 32 bits wide and leaves the upper ones as they came.
        // What is a pointer must be looked at whole.
        let test = match *test {
            Test::Is(value) => vec![load(low), equal(value, rest)],
            Test::Bits(mask, value) => {
                vec![load(low), instruction(BPF_ALU | BPF_AND | BPF_K, mask, 0, 0), equal(value, rest)]
            }
            Test::Ourselves => vec![load(low), equal(process, rest)],
            Test::None => vec![load(low), equal(0, rest + 2), load(low + 4), equal(0, rest)],
        };
        program.splice(0..0, test);
    }
    program
}

fn load(at: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, at, 0, 0)
}

fn give(verdict: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, verdict, 0, 0)
}

fn refuse(error: i32) -> sock_filter {
    give(libc::SECCOMP_RET_ERRNO | (error.unsigned_abs() & libc::SECCOMP_RET_DATA))
}

fn jump(compare: u32, value: u32, held: u8, not: u8) -> sock_filter {
    instruction(BPF_JMP | BPF_K | compare, value, held, not)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).expect("a code is short"), jt, jf, k }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the kernel would say, which runs the program just so.
    pub(crate) fn run(program: &[sock_filter], machine: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let (mut at, mut held) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            match u32::from(code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    held = match k {
                        NUMBER_AT => number,
                        MACHINE_AT => machine,
                        _ => {
                            let place = (k - ARGUMENTS_AT) / 8;
                            (arguments[place as usize] >> (k % 8 * 8)) as u32
                        }
                    };
                }
                code if code == BPF_ALU | BPF_AND | BPF_K => held &= k,
                code if code == BPF_JMP | BPF_JA => at += k as usize,
                code if code == BPF_JMP | BPF_K | BPF_JEQ => {
                    at += usize::from(if held == k { jt } else { jf })
                }
                code if code == BPF_JMP | BPF_K | BPF_JGE => {
                    at += usize::from(if held >= k { jt } else { jf })
                }
                code if code == BPF_RET | BPF_K => return k,
                other => panic!("no such instruction: {other}"),
            }
        }
    }

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const KILLED: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    const REFUSED: u32 = libc::SECCOMP_RET_ERRNO | 1;

    #[test]
    fn every_number_gets_the_verdict_of_its_table() {
        for step in 1..5 {
            let verdicts = [Verdict::Allow, Verdict::Kill, Verdict::Refuse(7), Verdict::Allow];
            let table: BTreeMap<u32, Verdict> =
                (0..300).map(|n| (n * step, verdicts[n as usize % 4])).collect();
            let program = assemble(&table, Verdict::Refuse(1), 9);
            for number in (0..400 * step).chain([u32::MAX, 0x4000_0000]) {
                let expected = match table.get(&number).copied().unwrap_or(Verdict::Refuse(1)) {
                    Verdict::Allow => ALLOWED,
                    Verdict::Kill => KILLED,
                    Verdict::Refuse(error) => libc::SECCOMP_RET_ERRNO | error as u32,
                    Verdict::Ways(..) => unreachable!(),
                };
                assert_eq!(run(&program, MACHINE, number, [0; 6]), expected, "{number} of {step}");
            }
            assert_eq!(run(&program, MACHINE - 1, 0, [0; 6]), KILLED, "another machine's calls");
        }
    }

    #[test]
    fn arguments_are_tested_each_in_its_place() {
        const WAYS: &[Way] = &[
            &[(0, Test::Is(5)), (2, Test::Bits(0b110, 0b010))],
            &[(1, Test::None), (3, Test::Ourselves), (5, Test::Is(1))],
        ];
        let table = [(3, Verdict::Ways(WAYS, 1))].into_iter().collect();
        let program = assemble(&table, Verdict::Kill, 9);
        for (arguments, expected) in [
            ([5, 1, 0b010, 0, 0, 0], ALLOWED),
            ([5, 1, 0b1011, 0, 0, 0], ALLOWED),
            ([5 | 1 << 40, 1, 0b010, 0, 0, 0], ALLOWED),
            ([5, 1, 0b110, 0, 0, 0], REFUSED),
            ([4, 1, 0b010, 0, 0, 0], REFUSED),
            ([4, 0, 0, 9, 0, 1], ALLOWED),
            ([4, 1 << 40, 0, 9, 0, 1], REFUSED),
            ([4, 1, 0, 9, 0, 1], REFUSED),
            ([4, 0, 0, 8, 0, 1], REFUSED),
            ([4, 0, 0, 9, 0, 2], REFUSED),
        ] {
            assert_eq!(run(&program, MACHINE, 3, arguments), expected, "{arguments:?}");
        }
        assert_eq!(run(&program, MACHINE, 2, [5, 1, 2, 0, 0, 0]), KILLED);
    }
}
