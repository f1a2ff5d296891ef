//! Where an actor may connect to, as users write it: `HOST:PORT`.
//!
//! Owns: [`Pattern`], how it is written, and which of two allows more. Must not know: sockets, how
//! names are looked up. Invariant: what a pattern covers is no more than it allows itself.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name that there can be.
const MAX_NAME_BYTES: usize = 253;

/// Hosts and ports to which connections may be made. Written as `HOST:PORT`; the host is a name, an
/// address, `ADDRESS/BITS` for a network, `*.NAME` for all names below one, or `*`; the port a
/// number, `FIRST-LAST`, or `*`. Addresses of version 6 stand in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    hosts: Hosts,
    ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Hosts {
    Any,
    Name(String),
    /// All names that end with a dot and this.
    Below(String),
    /// All addresses whose first bits are these.
    Network(IpAddr, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    const ANY: Self = Self { first: 0, last: u16::MAX };

    fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no HOST:PORT: {why}")]
pub struct PatternError {
    text: String,
    why: &'static str,
}

impl Pattern {
    /// Every host and port.
    pub const ANY: Self = Self { hosts: Hosts::Any, ports: Ports::ANY };

    /// Whether a connection to this address and port is allowed, whatever its name.
    pub fn allows(&self, address: IpAddr, port: u16) -> bool {
        self.ports.contains(port)
            && match &self.hosts {
                Hosts::Any => true,
                Hosts::Network(network, bits) => is_in(address.to_canonical(), *network, *bits),
                Hosts::Name(_) | Hosts::Below(_) => false,
            }
    }

    /// Whether a connection to a host of this name is allowed, at this port.
    pub fn allows_name(&self, name: &str, port: u16) -> bool {
        self.ports.contains(port) && self.names(name)
    }

    /// Whether it is about the host of this name, at some port.
    pub fn names(&self, name: &str) -> bool {
        let Some(name) = canonical_name(name) else { return false };
        match &self.hosts {
            Hosts::Any => true,
            Hosts::Name(known) => *known == name,
            Hosts::Below(known) => is_below(&name, known),
            Hosts::Network(..) => false,
        }
    }

    /// Whether all that the other allows is allowed by this one.
    pub fn covers(&self, other: &Self) -> bool {
        let hosts = match (&self.hosts, &other.hosts) {
            (Hosts::Any, _) => true,
            (Hosts::Name(held), Hosts::Name(wanted)) => held == wanted,
            (Hosts::Below(held), Hosts::Name(wanted)) => is_below(wanted, held),
            (Hosts::Below(held), Hosts::Below(wanted)) => held == wanted || is_below(wanted, held),
            (Hosts::Network(held, bits), Hosts::Network(wanted, fewer)) => {
                bits <= fewer && is_in(*wanted, *held, *bits)
            }
            _ => false,
        };
        hosts && self.ports.first <= other.ports.first && other.ports.last <= self.ports.last
    }

    /// The first and the last of the ports.
    pub fn ports(&self) -> (u16, u16) {
        (self.ports.first, self.ports.last)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = |why| PatternError { text: text.to_owned(), why };
        let (host, port) = text.rsplit_once(':').ok_or(wrong("the port is missing; write `*` for any"))?;
        let hosts = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(Some(address)) if address.contains(':') => network(address),
            Some(_) => Err("an address of version 6 stands in brackets, with its bits: [2001:db8::/32]:80"),
            None if host.contains(':') => Err("write an address of version 6 in brackets: [::1]:80"),
            None => host_of(host),
        };
        Ok(Self { hosts: hosts.map_err(wrong)?, ports: ports(port).map_err(wrong)? })
    }
}

fn host_of(host: &str) -> Result<Hosts, &'static str> {
    const NAME: &str = "the host is neither a name nor an address";
    if host == "*" {
        return Ok(Hosts::Any);
    }
    if let Some(name) = host.strip_prefix("*.") {
        return canonical_name(name).map(Hosts::Below).ok_or("after `*.` there must be a name");
    }
    if host.contains('*') {
        return Err("`*` stands alone, or before a dot and a name");
    }
    // Whose last part is a number is an address, or nothing at all.
    let last = host.rsplit('.').find(|part| !part.is_empty()).unwrap_or("name");
    if host.contains('/') || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return network(host);
    }
    canonical_name(host).map(Hosts::Name).ok_or(NAME)
}

fn network(text: &str) -> Result<Hosts, &'static str> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| "the host is no address")?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or("there are not so many bits")?,
    };
    if address.to_canonical() != address {
        return Err("write an address of version 4 as such");
    }
    match first_bits(address, bits) == number(address) {
        true => Ok(Hosts::Network(address, bits)),
        false => Err("behind the bits of the network its address must be zero"),
    }
}

fn ports(text: &str) -> Result<Ports, &'static str> {
    const PORT: &str = "the port is a number from 1 to 65535, FIRST-LAST, or `*`";
    let port = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|port: &u16| digits && *port > 0).ok_or(PORT)
    };
    match text.split_once('-') {
        _ if text == "*" => Ok(Ports::ANY),
        None => port(text).map(|port| Ports { first: port, last: port }),
        Some((first, last)) => {
            let ports = Ports { first: port(first)?, last: port(last)? };
            if ports.first <= ports.last { Ok(ports) } else { Err("the last port is below the first") }
        }
    }
}

/// A name as it is compared: in small letters, without the last dot. None if it is none.
fn canonical_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letter);
    (name.len() <= MAX_NAME_BYTES && name.split('.').all(label)).then_some(name)
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    address.is_ipv4() == network.is_ipv4() && first_bits(address, bits) == first_bits(network, bits)
}

/// An address as a number, its first bit foremost.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn first_bits(address: IpAddr, bits: u8) -> u128 {
    number(address) & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Any => f.write_str("*")?,
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Below(name) => write!(f, "*.{name}")?,
            Hosts::Network(IpAddr::V4(address), 32) => write!(f, "{address}")?,
            Hosts::Network(IpAddr::V4(address), bits) => write!(f, "{address}/{bits}")?,
            Hosts::Network(IpAddr::V6(address), 128) => write!(f, "[{address}]")?,
            Hosts::Network(IpAddr::V6(address), bits) => write!(f, "[{address}/{bits}]")?,
        }
        match self.ports {
            Ports::ANY => f.write_str(":*"),
            Ports { first, last } if first == last => write!(f, ":{first}"),
            Ports { first, last } => write!(f, ":{first}-{last}"),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn is_written_as_it_is_read() {
        for text in [
            "*:*",
            "*:443",
            "example.com:443",
            "localhost:8000-8010",
            "*.example.com:*",
            "127.0.0.1:80",
            "10.0.0.0/8:1-65535",
            "0.0.0.0/0:53",
            "[::1]:80",
            "[2001:db8::/32]:*",
            "[::/0]:1",
        ] {
            assert_eq!(pattern(text).to_string(), text);
        }
        assert_eq!(pattern("Example.COM.:80").to_string(), "example.com:80");
        assert_eq!(pattern("1.2.3.4/32:80").to_string(), "1.2.3.4:80");
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        for (text, why) in [
            ("example.com", "the port is missing"),
            ("", "the port is missing"),
            (":80", "the host is"),
            ("example.com:", "the port is a number"),
            ("example.com:0", "the port is a number"),
            ("example.com:+1", "the port is a number"),
            ("example.com:65536", "the port is a number"),
            ("example.com:80-", "the port is a number"),
            ("example.com:90-80", "below the first"),
            ("a b:80", "neither a name nor an address"),
            ("a..b:80", "neither a name nor an address"),
            ("*a.b:80", "`*` stands alone"),
            ("a.*:80", "`*` stands alone"),
            ("*.:80", "there must be a name"),
            ("1.2.3:80", "no address"),
            ("1.2.3.4/33:80", "not so many bits"),
            ("10.1.2.3/8:80", "must be zero"),
            ("::1:80", "in brackets"),
            ("[::1:80", "in brackets"),
            ("[1.2.3.4]:80", "in brackets"),
            ("[::ffff:1.2.3.4]:80", "of version 4"),
        ] {
            let error = text.parse::<Pattern>().expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn allows_what_it_says_and_nothing_else() {
        let allowed = [
            ("*:*", "9.9.9.9", 1),
            ("*:443", "::1", 443),
            ("10.0.0.0/8:80-90", "10.255.0.1", 90),
            ("127.0.0.1:80", "127.0.0.1", 80),
            ("127.0.0.1:80", "::ffff:127.0.0.1", 80),
            ("[2001:db8::/32]:80", "2001:db8:1::2", 80),
            ("0.0.0.0/0:80", "1.2.3.4", 80),
        ];
        for (text, address, port) in allowed {
            assert!(pattern(text).allows(address.parse().expect("an address"), port), "{text} {address}");
        }
        let refused = [
            ("*:443", "1.2.3.4", 80),
            ("10.0.0.0/8:80-90", "11.0.0.1", 80),
            ("10.0.0.0/8:80-90", "10.0.0.1", 91),
            ("127.0.0.1:80", "::1", 80),
            ("[::1]:80", "127.0.0.1", 80),
            ("[::/0]:80", "1.2.3.4", 80),
            ("[::/0]:80", "::ffff:1.2.3.4", 80),
            ("example.com:80", "1.2.3.4", 80),
        ];
        for (text, address, port) in refused {
            assert!(!pattern(text).allows(address.parse().expect("an address"), port), "{text} {address}");
        }
        for (text, name, allows) in [
            ("example.com:80", "EXAMPLE.com.", true),
            ("example.com:80", "a.example.com", false),
            ("*.example.com:80", "a.b.example.com", true),
            ("*.example.com:80", "example.com", false),
            ("*.example.com:80", ".example.com", false),
            ("*.example.com:80", "badexample.com", false),
            ("*:80", "anything", true),
            ("*:80", "not a name", false),
            ("10.0.0.1:80", "10.0.0.1", false),
        ] {
            assert_eq!(pattern(text).allows_name(name, 80), allows, "{text} {name}");
            assert!(!pattern(text).allows_name(name, 81), "{text} {name}");
        }
    }

    #[test]
    fn covers_what_it_allows_itself() {
        let order = [
            ("*:*", "*:*", true),
            ("*:*", "example.com:80", true),
            ("*:80", "10.0.0.0/8:80", true),
            ("*:80", "*:*", false),
            ("*:80", "*:80-81", false),
            ("example.com:1-100", "example.com:80", true),
            ("example.com:80", "example.com:1-100", false),
            ("example.com:80", "*.example.com:80", false),
            ("*.example.com:80", "example.com:80", false),
            ("*.example.com:80", "a.example.com:80", true),
            ("*.example.com:80", "*.a.example.com:80", true),
            ("*.a.example.com:80", "*.example.com:80", false),
            ("10.0.0.0/8:80", "10.1.0.0/16:80", true),
            ("10.1.0.0/16:80", "10.0.0.0/8:80", false),
            ("10.0.0.0/8:80", "11.0.0.0/8:80", false),
            ("0.0.0.0/0:80", "[::/0]:80", false),
            ("[::/0]:80", "1.2.3.4:80", false),
            ("example.com:80", "1.2.3.4:80", false),
            ("1.2.3.4:80", "example.com:80", false),
            ("1.2.3.4:80", "*:80", false),
        ];
        for (held, wanted, covers) in order {
            assert_eq!(pattern(held).covers(&pattern(wanted)), covers, "{held} {wanted}");
        }
    }
}
