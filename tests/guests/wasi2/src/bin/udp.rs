//! Tries to bind a UDP socket and to send a datagram to the IPv4 address and port of its
//! arguments. A refusal names its step: `create`, `bind`, `connect` or `send`.

use std::net::SocketAddrV4;

use anyhow::{Context, Result};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn main() -> Result<()> {
    let target: SocketAddrV4 = std::env::args()
        .nth(1)
        .context("usage: udp ADDRESS:PORT")?
        .parse()?;
    let [a, b, c, d] = target.ip().octets();
    let target = Ipv4SocketAddress {
        port: target.port(),
        address: (a, b, c, d),
    };
    let any = Ipv4SocketAddress {
        port: 0,
        address: (0, 0, 0, 0),
    };
    let socket = create_udp_socket(IpAddressFamily::Ipv4).context("create")?;
    socket
        .start_bind(&instance_network(), IpSocketAddress::Ipv4(any))
        .context("bind")?;
    loop {
        match socket.finish_bind() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            done => break done.context("bind")?,
        }
    }
    let (_incoming, outgoing) = socket
        .stream(Some(IpSocketAddress::Ipv4(target)))
        .context("connect")?;
    while outgoing.check_send().context("send")? == 0 {
        outgoing.subscribe().block();
    }
    let datagram = OutgoingDatagram {
        data: b"hello".to_vec(),
        remote_address: None,
    };
    let sent = outgoing.send(&[datagram]).context("send")?;
    println!("sent {sent}");
    Ok(())
}
