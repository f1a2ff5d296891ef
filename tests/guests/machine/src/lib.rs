//! A component that asks the machine for all that is granted to some and not to others.
//!
//! Owns: what the functions of `wit/machine.wit` do, with the standard library where it can. Must not
//! know: what is granted.

mod bindings;

use std::fmt::Debug;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::SystemTime;

use bindings::exports::test::machine::asks::{self, Guest as _};
use bindings::wasi;
use bindings::wasi::sockets0_2_3::instance_network::instance_network;
use bindings::wasi::sockets0_2_3::{ip_name_lookup as lookup2, network as wasip2};
use bindings::wasi::sockets0_2_3::{tcp_create_socket, udp_create_socket};
use bindings::wasi::sockets0_3_0::{ip_name_lookup as lookup3, types as wasip3};

struct Machine;

impl bindings::Guest for Machine {
    async fn main(what: Option<String>, with: Option<String>) -> Vec<String> {
        let with = with.unwrap_or_default();
        let said = match what.as_deref() {
            None => return io::stdin().lines().map_while(Result::ok).collect(),
            Some("now") => got(Ok(Self::now())),
            Some("now3") => got(Ok(Self::now3())),
            Some("random") => got(Ok(Self::random())),
            Some("random3") => got(Ok(Self::random3())),
            Some("insecure") => got(Ok(Self::insecure())),
            Some("insecure3") => got(Ok(Self::insecure3())),
            Some("names") => got(Self::names(with)),
            Some("connect") => got(Self::connect(with).await),
            Some("connect2") => got(Self::connect2(with)),
            Some("send") => got(Self::send(with, "HELLO".to_owned()).await),
            Some("datagrams2") => got(Self::datagrams2()),
            Some("listen") => got(Self::listen(with)),
            Some("look-up") => got(Self::look_up(with).await),
            Some("look-up2") => got(Self::look_up2(with)),
            Some(other) => format!("nothing is called {other}"),
        };
        vec![said]
    }
}

fn got<T: Debug>(said: Result<T, String>) -> String {
    match said {
        Ok(got) => format!("got {got:?}"),
        Err(refused) => format!("refused: {refused}"),
    }
}

impl asks::Guest for Machine {
    fn now() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn now3() -> i64 {
        wasi::clocks::system_clock::now().seconds
    }

    fn random() -> u64 {
        wasi::random0_2_3::random::get_random_u64()
    }

    fn random3() -> u64 {
        wasi::random0_3_0::random::get_random_u64()
    }

    fn insecure() -> u64 {
        wasi::random0_2_3::insecure::get_insecure_random_u64()
    }

    fn insecure3() -> u64 {
        wasi::random0_3_0::insecure::get_insecure_random_u64()
    }

    fn seed() -> (u64, u64) {
        wasi::random0_2_3::insecure_seed::insecure_seed()
    }

    fn arguments() -> Vec<String> {
        std::env::args().collect()
    }

    fn environment() -> Vec<(String, String)> {
        std::env::vars().collect()
    }

    fn line() -> Option<String> {
        let mut line = String::new();
        let length = io::stdin().read_line(&mut line).unwrap_or(0);
        (length > 0).then(|| line.trim_end().to_owned())
    }

    fn names(path: String) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(path).map_err(told)?;
        entries.map(|entry| Ok(entry.map_err(told)?.file_name().to_string_lossy().into_owned())).collect()
    }

    async fn connect(address: String) -> Result<String, String> {
        let socket = wasip3::TcpSocket::create(wasip3::IpAddressFamily::Ipv4).map_err(told)?;
        socket.connect(there3(&address)?).await.map_err(told)?;
        let (heard, _ended) = socket.receive();
        Ok(String::from_utf8_lossy(&heard.collect().await).into_owned())
    }

    fn connect2(address: String) -> Result<(), String> {
        let socket = tcp_create_socket::create_tcp_socket(wasip2::IpAddressFamily::Ipv4).map_err(told)?;
        let (a, b, c, d, port) = parts(&address)?;
        let there = wasip2::IpSocketAddress::Ipv4(wasip2::Ipv4SocketAddress { port, address: (a, b, c, d) });
        socket.start_connect(&instance_network(), there).map_err(told)?;
        socket.subscribe().block();
        socket.finish_connect().map(drop).map_err(told)
    }

    async fn send(address: String, text: String) -> Result<String, String> {
        let socket = wasip3::UdpSocket::create(wasip3::IpAddressFamily::Ipv4).map_err(told)?;
        socket.send(text.into_bytes(), Some(there3(&address)?)).await.map_err(told)?;
        let (answer, _from) = socket.receive().await.map_err(told)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn datagrams2() -> Result<(), String> {
        udp_create_socket::create_udp_socket(wasip2::IpAddressFamily::Ipv4).map(drop).map_err(told)
    }

    fn listen(address: String) -> Result<(), String> {
        let socket = wasip3::TcpSocket::create(wasip3::IpAddressFamily::Ipv4).map_err(told)?;
        socket.bind(there3(&address)?).map_err(told)?;
        socket.listen().map(drop).map_err(told)
    }

    async fn look_up(name: String) -> Result<Vec<String>, String> {
        let found = lookup3::resolve_addresses(name).await.map_err(told)?;
        let text = |address| match address {
            wasip3::IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).to_string(),
            wasip3::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
                Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string()
            }
        };
        Ok(found.into_iter().map(text).collect())
    }

    fn look_up2(name: String) -> Result<Vec<String>, String> {
        let stream = lookup2::resolve_addresses(&instance_network(), &name).map_err(told)?;
        stream.subscribe().block();
        let mut found = Vec::new();
        while let Some(address) = stream.resolve_next_address().map_err(told)? {
            found.push(match address {
                wasip2::IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).to_string(),
                wasip2::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
                    Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string()
                }
            });
        }
        Ok(found)
    }
}

/// The four numbers of an address, and its port.
fn parts(address: &str) -> Result<(u8, u8, u8, u8, u16), String> {
    let address: SocketAddrV4 = address.parse().map_err(told)?;
    let [a, b, c, d] = address.ip().octets();
    Ok((a, b, c, d, address.port()))
}

fn there3(address: &str) -> Result<wasip3::IpSocketAddress, String> {
    let (a, b, c, d, port) = parts(address)?;
    Ok(wasip3::IpSocketAddress::Ipv4(wasip3::Ipv4SocketAddress { port, address: (a, b, c, d) }))
}

fn told(error: impl Debug) -> String {
    format!("{error:?}")
}
