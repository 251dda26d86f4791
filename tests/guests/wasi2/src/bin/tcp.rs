//! Looks a host's name up (unless it is an address), connects to it, sends a text and prints the answer to its end.
//! A refusal names its step: `resolve`, `connect`, `send` or `receive`.

use std::io::Write;

use anyhow::{Context, Result, anyhow};
use wasip2::io::streams::StreamError;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, text] = arguments.as_slice() else {
        return Err(anyhow!("usage: tcp HOST PORT TEXT"));
    };
    let port = port.parse().context("PORT is a number up to 65535")?;
    let address = resolve(host).context("resolve")?;
    let answer = exchange(address, port, text.as_bytes())?;
    std::io::stdout().write_all(&answer)?;
    Ok(())
}

/// An address as it stands, or the first one of a host's name.
fn resolve(host: &str) -> Result<IpAddress, ErrorCode> {
    match host.parse() {
        Ok(std::net::IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            return Ok(IpAddress::Ipv4((a, b, c, d)));
        }
        Ok(std::net::IpAddr::V6(address)) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            return Ok(IpAddress::Ipv6((a, b, c, d, e, f, g, h)));
        }
        Err(_) => {}
    }
    let addresses = resolve_addresses(&instance_network(), host)?;
    loop {
        match addresses.resolve_next_address() {
            Ok(Some(address)) => return Ok(address),
            Ok(None) => return Err(ErrorCode::NameUnresolvable),
            Err(ErrorCode::WouldBlock) => addresses.subscribe().block(),
            Err(error) => return Err(error),
        }
    }
}

/// Sends a text, and receives until the other side closes.
fn exchange(address: IpAddress, port: u16, text: &[u8]) -> Result<Vec<u8>> {
    let (family, address) = match address {
        IpAddress::Ipv4(address) => (
            IpAddressFamily::Ipv4,
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }),
        ),
        IpAddress::Ipv6(address) => (
            IpAddressFamily::Ipv6,
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port,
                flow_info: 0,
                address,
                scope_id: 0,
            }),
        ),
    };
    let socket = create_tcp_socket(family).context("connect")?;
    socket
        .start_connect(&instance_network(), address)
        .context("connect")?;
    let (input, output) = loop {
        match socket.finish_connect() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            done => break done.context("connect")?,
        }
    };
    output.blocking_write_and_flush(text).context("send")?;
    let mut answer = Vec::new();
    loop {
        match input.blocking_read(65536) {
            Ok(bytes) => answer.extend(bytes),
            Err(StreamError::Closed) => return Ok(answer),
            Err(error) => return Err(error).context("receive"),
        }
    }
}
