//! Deterministic mutations of byte strings.
//!
//! Owns: a small generator of numbers and the ways to spoil an input. Must not know: targets.
//! Invariant: the same seed gives the same mutations.

/// A xorshift generator.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
}

/// Bytes that mean something as CBOR: small and large numbers, lengths, tags, null, break.
const TELLING: [u8; 16] =
    [0x00, 0x01, 0x17, 0x18, 0x1b, 0x40, 0x5b, 0x60, 0x80, 0x83, 0x9b, 0x9f, 0xbb, 0xd8, 0xf6, 0xff];

/// Spoils the input in one to four places. A framed input is a pace byte and frames; mostly
/// one frame is spoiled and keeps a true length, so that what is inside gets read.
pub(crate) fn mutate(data: &[u8], framed: bool, random: &mut Random) -> Vec<u8> {
    let mut mutant = data.to_vec();
    let Some((pace, frames)) = data.split_first().filter(|_| framed && random.below(4) != 0) else {
        spoil(&mut mutant, random);
        return mutant;
    };
    let mut frames = split(frames);
    if frames.is_empty() {
        spoil(&mut mutant, random);
        return mutant;
    }
    let at = random.below(frames.len());
    let other = random.below(frames.len());
    match random.below(8) {
        0 => drop(frames.remove(at)),
        1 => frames.swap(at, other),
        2 => frames.insert(at, frames[other].clone()),
        _ => spoil(&mut frames[at], random),
    }
    let pace = if random.below(3) == 0 { random.next() as u8 } else { *pace };
    let mut joined = vec![pace];
    for frame in frames {
        joined.extend((frame.len() as u32).to_be_bytes());
        joined.extend(frame);
    }
    joined
}

/// The contents of the frames; what is no whole frame at the end is lost.
fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((prefix, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*prefix) as usize;
        let Some((frame, rest)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

fn spoil(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let telling = TELLING[random.below(TELLING.len())];
        match (random.below(6), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << random.below(8),
            (1, Some(byte)) => *byte = telling,
            (2, Some(byte)) => *byte = byte.wrapping_add(random.below(5) as u8).wrapping_sub(2),
            (3, Some(_)) => drop(bytes.remove(at)),
            (4, _) => bytes.truncate(at),
            _ => bytes.insert(at, telling),
        }
    }
}
