//! Tries to listen on a TCP port of the loopback address. A refusal names its step: `create`,
//! `bind` or `listen`.

use anyhow::{Context, Result};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

fn main() -> Result<()> {
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress {
        port: 0,
        address: (127, 0, 0, 1),
    });
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).context("create")?;
    socket
        .start_bind(&instance_network(), address)
        .context("bind")?;
    loop {
        match socket.finish_bind() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            done => break done.context("bind")?,
        }
    }
    socket.start_listen().context("listen")?;
    loop {
        match socket.finish_listen() {
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            done => break done.context("listen")?,
        }
    }
    println!("listening");
    Ok(())
}
